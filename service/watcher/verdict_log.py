"""The verdicts on one candidate, told as they fall."""

from collections.abc import Callable
from typing import NoReturn

from service.core.errors import RefusedError
from service.core.text import presentable
from service.core.verdicts import Outcome, Verdict
from service.watcher.gates.gate import Finding


class VerdictLog:
    """Takes what was found of one candidate, step by step; tells each verdict to `on_verdict`."""

    def __init__(self, on_verdict: Callable[[Verdict], None]) -> None:
        self._on_verdict = on_verdict
        self._verdicts: list[Verdict] = []
        self.signed_by = ""
        """The key that signed the candidate, where one was asked for."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All of them so far, in the order in which they fell."""
        return tuple(self._verdicts)

    def add(self, gate: str, found: Finding, duration_s: float) -> None:
        """Take one finding. Raise RefusedError, with all verdicts so far, where it refuses."""
        if found.outcome is Outcome.REFUSE:
            self.refuse(gate, found, duration_s)
        self.signed_by = found.signed_by or self.signed_by
        self._note(gate, found, duration_s)

    def refuse(self, gate: str, found: Finding, duration_s: float) -> NoReturn:
        """Take a finding that refuses the candidate. Raise RefusedError."""
        verdict = self._note(gate, found, duration_s)
        raise RefusedError(f"refused by the {gate} gate: {verdict.reason}", self._verdicts)

    def _note(self, gate: str, found: Finding, duration_s: float) -> Verdict:
        # A model may name the place where it looked for something, with the password.
        verdict = Verdict(gate, found.outcome, presentable(found.reason), duration_s)
        self._verdicts.append(verdict)
        self._on_verdict(verdict)
        return verdict
