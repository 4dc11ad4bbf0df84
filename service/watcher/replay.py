"""Ask a version what another one, or itself, has failed, in a worker that no request has then."""

from enum import Enum, auto

import anyio

from service.contracts.contract import Call
from service.core.errors import ChildLostError, ServiceError
from service.serving.batching.batch_runs import BATCH_TIMEOUT_SHARE, RERUN_TIMEOUT_SHARE
from service.serving.failed_request import FailedRequest
from service.serving.model import LoadedModel
from service.workers.handle import WorkerHandle
from service.workers.messages import RawRequest

_TYPICAL_RUNS = 10
"""A call may take this many times what the version's calls typically take."""
_WHOLE_WITHIN_S = 30.0
"""A worker that an earlier replay has cost is waited for up to this time."""
_POLL_S = 0.05
_END_KNOWN_WITHIN_S = 5.0


class Outcome(Enum):
    """The outcome of asking a version a request again."""

    ANSWERED = auto()
    FAILED = auto()
    """It raised, crashed, took too long or was not finite, or its contract can't take the body."""
    KILLED = auto()
    """Somebody else killed its worker meanwhile, as the kernel does for want of memory."""
    UNKNOWN = auto()
    """No worker was free to be asked."""


async def replay(model: LoadedModel, failed: FailedRequest) -> Outcome:
    """Ask one of the version's workers, which nobody else gets meanwhile.

    Only while none of them is missing: however many bodies kill a worker, one is missing at most.
    """
    try:
        payload = failed.payload_for(model.interface)
    except ServiceError:
        return Outcome.FAILED
    limit_s = _limit_s(model, payload)
    with anyio.move_on_after(_WHOLE_WITHIN_S):
        while not model.pool.is_whole:  # noqa: ASYNC110 - a pool has no event for it
            await anyio.sleep(_POLL_S)
    with anyio.move_on_after(limit_s) as waiting:
        async with model.pool.acquire() as worker:
            waiting.deadline = float("inf")
            return await _ask(worker, payload, limit_s)
    return Outcome.UNKNOWN


async def replay_apart(model: LoadedModel, failed: FailedRequest) -> Outcome:
    """Ask a worker that is loaded for this alone, so that it costs the others nothing."""
    try:
        payload = failed.payload_for(model.interface)
        async with model.pool.load_apart() as worker:
            return await _ask(worker, payload, _limit_s(model, payload))
    except ServiceError:
        return Outcome.UNKNOWN


async def was_killed_from_outside(error: ServiceError) -> bool:
    """Tell whether an error is the loss of a worker that somebody else has killed."""
    if not isinstance(error, ChildLostError):
        return False
    if error.ended is not None:
        with anyio.move_on_after(_END_KNOWN_WITHIN_S):
            await error.ended.wait()
    return error.killed_from_outside


async def _ask(worker: WorkerHandle, payload: Call | RawRequest, limit_s: float) -> Outcome:
    try:
        if isinstance(payload, Call):
            predictions = await worker.predict(payload, limit_s)
            return Outcome.FAILED if predictions.non_finite else Outcome.ANSWERED
        reply = await worker.predict_raw(payload, limit_s)
    except ServiceError as error:
        return Outcome.KILLED if await was_killed_from_outside(error) else Outcome.FAILED
    return Outcome.ANSWERED if reply.non_finite_row is None else Outcome.FAILED


def _limit_s(model: LoadedModel, payload: Call | RawRequest) -> float:
    """Return what a run may take that follows a failure: as for one that is run again."""
    batcher = model.batcher
    limit_s = batcher.settings.request_timeout_s
    if isinstance(payload, RawRequest):
        return limit_s * BATCH_TIMEOUT_SHARE
    return min(limit_s, max(limit_s * RERUN_TIMEOUT_SHARE, _TYPICAL_RUNS * batcher.typical_s))
