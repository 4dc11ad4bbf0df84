"""What a gate is, and how a candidate is proved by a chain of them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from service.core.errors import ChildLostError, RefusedError
from service.core.text import presentable
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.workers.messages import Timing

_TOLD_LINES = 5

_log = structlog.get_logger("gate")


class Candidate:
    """A version on its way: on disk at first, loaded once the load gate has opened it."""

    def __init__(
        self,
        stored: StoredVersion,
        serving: Callable[[], LoadedModel | None],
        open_model: Callable[[], Awaitable[LoadedModel]],
    ) -> None:
        self.stored = stored
        self._serving = serving
        self._open_model = open_model
        self._model: LoadedModel | None = None

    @property
    def incumbent(self) -> LoadedModel | None:
        """What serves now; None at the first start. Another one may after each `await`."""
        return self._serving()

    @property
    def is_open(self) -> bool:
        """Whether it is loaded."""
        return self._model is not None

    @property
    def model(self) -> LoadedModel:
        """The loaded version. Raise RuntimeError before the load gate."""
        if self._model is None:
            raise RuntimeError("the candidate is not loaded yet")
        return self._model

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that names the version."""
        version = self.stored.version
        bound: structlog.typing.FilteringBoundLogger = _log.bind(
            model=version.name, version=version.version
        )
        return bound

    async def open(self) -> None:
        """Load it in workers of its own."""
        self._model = await self._open_model()


class Finding(msgspec.Struct, frozen=True):
    """What a gate found; `prove` adds its name and how long it took.

    `row_wise` and `timings` are for the proof; None where a gate finds out nothing of them.
    """

    outcome: Outcome
    reason: str
    row_wise: bool | None = None
    timings: tuple[Timing, ...] | None = None


class Gate(Protocol):
    """One check of a candidate."""

    name: str
    compares: bool
    """Whether it looks at what serves: then it is passed again if another version serves by now."""

    async def check(self, candidate: Candidate) -> Finding:
        """Pass or refuse the candidate, and change nothing of it.

        A failure that says nothing of the candidate (a full disk, no process to be had) is raised
        as it is: the rollout tries again later.
        """
        ...


async def prove(
    gates: Sequence[Gate], candidate: Candidate, on_verdict: Callable[[Verdict], None]
) -> Proof:
    """Check a candidate gate by gate, tell each verdict as it falls, and return what was found.

    Gates that compare it with what serves check it again where another version serves when all have
    passed it, so that what serves on return is what it was compared with. Raise RefusedError, with
    all verdicts so far, at the first gate that refuses.
    """
    proof = Proof()
    compared_with: dict[str, LoadedModel | None] = {}
    left = list(gates)
    while left:
        gate = left.pop(0)
        compared_with[gate.name] = candidate.incumbent
        started = time.monotonic()
        found = await gate.check(candidate)
        # A model may name the place where it looked for something, with the password.
        reason = presentable(found.reason)
        verdict = Verdict(gate.name, found.outcome, reason, time.monotonic() - started)
        proof = _extended(proof, verdict, found)
        on_verdict(verdict)
        if verdict.outcome is Outcome.REFUSE:
            raise RefusedError(f"refused by the {gate.name} gate: {verdict.reason}", proof.verdicts)
        if not left:
            now = candidate.incumbent
            left = [gate for gate in gates if gate.compares and compared_with[gate.name] is not now]
    return proof


def _extended(proof: Proof, verdict: Verdict, found: Finding) -> Proof:
    """Return a proof with one more finding; the last word on a thing counts."""
    return Proof(
        (*proof.verdicts, verdict),
        proof.row_wise if found.row_wise is None else found.row_wise,
        proof.timings if found.timings is None else found.timings,
    )


def refuse_lost(error: ChildLostError) -> Finding:
    """Refuse a candidate whose process ended, with what it printed last.

    Raise the error itself where somebody else killed the process: that says nothing of the
    candidate, and is tried again.
    """
    if error.killed_from_outside:
        raise error
    lines = error.last_lines[-_TOLD_LINES:]
    if not lines:
        return Finding(Outcome.REFUSE, "its process ended without a word")
    reason = f"its process ended; it printed last: {' | '.join(lines)}"
    return Finding(Outcome.REFUSE, reason)
