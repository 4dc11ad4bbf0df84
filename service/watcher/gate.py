"""What a candidate must pass before it sees traffic.

A further gate is a class here and a place in the row that `app` hands to the rollout.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    RefusedError,
    ServiceError,
    SignatureError,
)
from service.core.redaction import redact
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel

_TOLD_LINES = 5

_log = structlog.get_logger("gate")


class Candidate:
    """A version on its way: on disk at first, loaded once the load gate has opened it."""

    def __init__(
        self,
        stored: StoredVersion,
        incumbent: LoadedModel | None,
        open_model: Callable[[], Awaitable[LoadedModel]],
    ) -> None:
        self.stored = stored
        self.incumbent = incumbent
        """What serves while the candidate is proved; None at the first start."""
        self._open_model = open_model
        self._model: LoadedModel | None = None

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

    async def open(self) -> None:
        """Load it in workers of its own."""
        self._model = await self._open_model()


class Finding(msgspec.Struct, frozen=True):
    """What a gate found; the runner adds its name and how long it took."""

    outcome: Outcome
    reason: str


class Gate(Protocol):
    """One check of a candidate."""

    name: str

    async def check(self, candidate: Candidate) -> Finding:
        """Pass or refuse the candidate.

        A failure that says nothing of the candidate (a full disk, no process to be had) is raised
        as it is: the rollout tries again later.
        """
        ...


class LoadGate:
    """It loads, in processes of its own, within LOAD_TIMEOUT_S."""

    name = "load"

    async def check(self, candidate: Candidate) -> Finding:
        """Open the candidate; a model that raises, dies or hangs there is refused."""
        try:
            await candidate.open()
        except SignatureError as error:
            return Finding(Outcome.REFUSE, str(error))
        except ChildRaisedError as error:
            _log_of(candidate).warning("version raised while loading", exception=error.detail)
            return Finding(Outcome.REFUSE, f"loading raised {error}")
        except ChildLostError as error:
            return Finding(Outcome.REFUSE, _with_last_lines("its process ended", error))
        except ChildTimeoutError as error:
            return Finding(Outcome.REFUSE, f"{error} (LOAD_TIMEOUT_S)")
        loaded = candidate.model.loaded
        return Finding(Outcome.PASS, f"loaded in {loaded.load_s:.2f} s")


class ContractGate:
    """What it takes and gives can be told from its signature."""

    name = "contract"

    async def check(self, candidate: Candidate) -> Finding:
        """Tell what callers must send and what they get."""
        contract = candidate.model.contract
        given = ", ".join(output.name for output in contract.outputs) or "whatever the model names"
        taken = f"{len(contract.inputs)} input" + ("s" if len(contract.inputs) != 1 else "")
        return Finding(Outcome.PASS, f"takes {taken} ({contract.layout}), gives {given}")


class SmokeGate:
    """It predicts on its own input example: right row count, finite numbers."""

    name = "smoke"

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def check(self, candidate: Candidate) -> Finding:
        """Predict, and allow batching for a model that was shown to be row-wise."""
        model = candidate.model
        try:
            reply = await model.pool.smoke(self._timeout_s)
        except ChildLostError as error:
            return Finding(Outcome.REFUSE, _with_last_lines("its process ended", error))
        except ChildTimeoutError as error:
            return Finding(Outcome.REFUSE, str(error))
        except ChildRaisedError as error:
            _log_of(candidate).warning("version raised on its example", exception=error.detail)
            return Finding(Outcome.REFUSE, f"predicting on its example raised {error}")
        if reply.refusal:
            return Finding(Outcome.REFUSE, reply.refusal)
        model.batcher.row_wise = reply.row_wise
        batched = "batched" if reply.row_wise else "not batched"
        reason = f"{reply.row_wise_why}: requests are {batched}"
        if not reply.rows:
            return Finding(Outcome.SKIP, reason)
        return Finding(Outcome.PASS, f"predicted {reply.rows} rows of {reply.rows_from}; {reason}")


async def pass_gates(
    gates: Sequence[Gate], candidate: Candidate, on_verdict: Callable[[Verdict], None]
) -> None:
    """Check a candidate gate by gate; tell each verdict as it falls.

    Raise RefusedError, with all verdicts so far, at the first gate that refuses.
    """
    verdicts: list[Verdict] = []
    for gate in gates:
        started = time.monotonic()
        found = await gate.check(candidate)
        # A model may name the place where it looked for something, with the password.
        reason = redact(found.reason)
        verdict = Verdict(gate.name, found.outcome, reason, time.monotonic() - started)
        verdicts.append(verdict)
        on_verdict(verdict)
        if verdict.outcome is Outcome.REFUSE:
            raise RefusedError(f"refused by the {gate.name} gate: {verdict.reason}", verdicts)


def _log_of(candidate: Candidate) -> structlog.typing.FilteringBoundLogger:
    version = candidate.stored.version
    bound: structlog.typing.FilteringBoundLogger = _log.bind(
        model=version.name, version=version.version
    )
    return bound


def _with_last_lines(what: str, error: ServiceError) -> str:
    lines = error.last_lines[-_TOLD_LINES:] if isinstance(error, ChildLostError) else ()
    return f"{what}; it printed last: {' | '.join(lines)}" if lines else f"{what} without a word"
