"""Have a worker answer one run, and give each of its requests what is its own.

A run of several that raises, loses its worker or takes too long is run again request by request.
Then each request answers for itself, and only the culprit fails. What a worker may have in flight
is not decided here, but in `workers.occupancy`.
"""

import asyncio
import bisect
from collections.abc import Sequence
from typing import Generic

import msgspec
import structlog

from service.codecs.json.encoding import unpacked
from service.contracts.answer_size import is_wide
from service.contracts.contract import Call, Predictions
from service.contracts.merge import merge
from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
)
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.request_queue import QueuedRequest, RequestQueue, Share
from service.serving.batching.run import Run, W
from service.telemetry.tracing.batch_trace import BatchTrace
from service.telemetry.tracing.request_trace import QUEUE
from service.workers.messages import RawReply, traced
from service.workers.occupancy import BODIES, Work

BATCH_TIMEOUT_SHARE = 1 / 3
"""The share of a request's timeout that a run of several may take, or a body that is run again."""
RERUN_TIMEOUT_SHARE = 1 / 10
"""The share of a request's timeout that a call may take which is run again, alone."""
SOFT_TIMEOUT_SHARE = 3 / 4
"""The share of a request's timeout after which its run is ended if others wait behind it."""
_TYPICAL_RUNS = 10
"""A call that is run again may take this many times what a run typically took, in any case."""
_EXPECTED_RUNS = 3
"""A run may take this many times what it was expected to take, in any case."""
_MAX_LOSSES = 2
"""A request fails that has cost so many workers: the first may have been lost by another one."""

_log = structlog.get_logger("batcher")


class BatchRuns(Generic[W]):
    """The runs that are under way, their time limits, and what becomes of their requests."""

    def __init__(self, queue: RequestQueue, cost: BatchCost, request_timeout_s: float) -> None:
        self._queue = queue
        self._cost = cost
        self._request_timeout_s = request_timeout_s
        self.has_traces = False
        """Whether any request was traced so far."""
        self._running: dict[W, list[Run[W]]] = {}
        """The runs of each worker, in the order in which it got them."""

    def remaining_s(self, now_s: float, with_bodies: bool) -> float:  # noqa: FBT001 - a callback
        """Return how much longer all runs together will take, by what is known of such."""
        left_s = 0.0
        for runs in self._running.values():
            for run in runs:
                if run.work in BODIES and not with_bodies:
                    continue
                ran_s = 0.0 if run.began_s is None else now_s - run.began_s
                left_s += max(0.0, run.expected_s - ran_s)
        return left_s

    def add(self, run: Run[W]) -> None:
        """Count a run as under way, in this step of the event loop; `answer` is to follow."""
        if self.has_traces:
            traces = [item.trace for item in run.items if item.trace is not None]
            run.trace = BatchTrace(traces, len(run.items), run.rows) if traces else None
        runs = self._running.setdefault(run.worker, [])
        runs.append(run)
        if runs[0] is run or runs[0].work is Work.CHUNKED_BODY:
            run.begin()

    async def answer(self, run: Run[W]) -> None:
        """Have its worker answer it: each request is answered, fails, or is to run again."""
        items, worker = run.items, run.worker
        try:
            if items[0].losses and not await self._is_there(run):
                self._run_again(items[0])
            elif len(items) == 1:
                await self._answer_one(run, items[0])
            else:
                await self._answer_several(run)
        except Exception:  # noqa: BLE001 - a crash barrier
            # A defect of ours must not end the queue that all other requests wait in.
            _log.exception("batch failed", requests=len(items))
            for item in items:
                item.fail(ServiceError("the batch could not be run"))
        finally:
            if run.trace is not None:
                run.trace.end()
            runs = self._running[worker]
            runs.remove(run)
            if not runs:
                del self._running[worker]
            elif runs[0].began_s is None:
                # It lay in the pipe behind this one.
                runs[0].begin()

    async def _answer_several(self, run: Run[W]) -> None:
        """Answer several requests by one call, or send each of them to be run alone."""
        items = run.items
        calls = [item.payload for item in items if isinstance(item.payload, Call)]
        limit_s = self._at_least(self._request_timeout_s * BATCH_TIMEOUT_SHARE, run)
        follows = self._follows(run)
        started_s = asyncio.get_running_loop().time()
        try:
            predictions = await run.worker.predict(_traced(merge(calls), run), limit_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be one request's alone
            if not isinstance(error, ServiceError):
                _log.exception("batch failed", requests=len(items))
            for item in items:
                item.losses += isinstance(error, ChildLostError)
                self._run_again(item)
            return
        self._note(run, predictions, predictions.rows, started_s, follows=follows)
        if is_wide(predictions, 0, predictions.rows):
            await _answer_wide(items, predictions)
            return
        # It takes some microseconds, and spares each request as many.
        encodable = unpacked(predictions)
        start = 0
        for item in items:
            stop = start + item.rows
            _answer_share(item, predictions, start, stop, wide=False, encodable=encodable)
            start = stop

    async def _answer_one(self, run: Run[W], item: QueuedRequest) -> None:
        """Answer one request; what it raises is its own.

        The limit counts from here, not from the request's arrival: a queue that is too long must
        not make workers that do their best look hung. Between the chunks of a body it is that of a
        batch: whose fault it is shows when each is run again.
        """
        follows = self._follows(run)
        is_between = follows and self._running[run.worker][0].work is Work.CHUNKED_BODY
        limit_s = self._limit_s(run, is_between=is_between)
        self._start_soft_timeout(run)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            if isinstance(item.payload, Call):
                predictions = await run.worker.predict(_traced(item.payload, run), limit_s)
                self._note(run, predictions, item.rows, started_s, follows=follows)
                # All of its rows: with ROWS_OUT=any there may be more than it sent, or fewer.
                rows = predictions.rows
                _answer_share(item, predictions, 0, rows, wide=is_wide(predictions, 0, rows))
            else:
                is_chunked = run.work is Work.CHUNKED_BODY
                context = None if run.trace is None else run.trace.context
                body = msgspec.structs.replace(item.payload, chunked=is_chunked, trace=context)
                reply = await run.worker.predict_raw(body, limit_s)
                now_s = loop.time()
                run.took_s = now_s - started_s
                self._cost.note_body(item.payload.codec, item.bytes, run.took_s, now_s)
                if not is_chunked:
                    self._cost.note(run.took_s)
                _answer_raw(item, reply)
        except ChildTimeoutError:
            if is_between:
                self._run_again(item)
            else:
                item.fail(RequestTimeoutError(f"the model gave no answer within {limit_s:g} s"))
        except ChildLostError as error:
            item.losses += 1
            if item.losses >= _MAX_LOSSES:
                item.fail(error)
            else:
                self._run_again(item)
        except ServiceError as error:
            item.fail(error)
        finally:
            if run.soft_timeout is not None:
                run.soft_timeout.cancel()

    def _follows(self, run: Run[W]) -> bool:
        """Tell whether its worker had something before it that is not answered yet."""
        return self._running[run.worker][0] is not run

    async def _is_there(self, run: Run[W]) -> bool:
        """Tell whether a worker still answers, before it gets what another one was lost with.

        What kills one may kill all of them, and the server process learns of each a moment later:
        that must not look as if the request had cost the second one, too.
        """
        try:
            await run.worker.ping(self._limit_s(run, is_between=False))
        except (ChildLostError, ChildTimeoutError):
            return False
        return True

    def _limit_s(self, run: Run[W], *, is_between: bool) -> float:
        """Return the seconds that a run of one request may take."""
        item = run.items[0]
        if is_between or (item.again and item.is_body):
            # Between chunks a call shares its worker, as in a batch.
            return self._at_least(self._request_timeout_s * BATCH_TIMEOUT_SHARE, run)
        if item.again:
            rerun_s = self._request_timeout_s * RERUN_TIMEOUT_SHARE
            return max(rerun_s, _TYPICAL_RUNS * self._cost.typical_s)
        return self._request_timeout_s

    def _at_least(self, limit_s: float, run: Run[W]) -> float:
        """Return a run's limit, or more where runs like it were seen to need more.

        A worker that does its best is not ended for what it was given.
        """
        return min(self._request_timeout_s, max(limit_s, _EXPECTED_RUNS * run.expected_s))

    def _note(
        self, run: Run[W], predictions: Predictions, rows: int, started_s: float, *, follows: bool
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        run.took_s = predictions.took_s
        if run.trace is not None:
            run.trace.took(predictions.took_s)
        # What it waited for the run before it is no part of what it took.
        self._cost.note(predictions.took_s if follows else now_s - started_s)
        self._cost.note_rows(rows, predictions.took_s, now_s)

    def _run_again(self, item: QueuedRequest) -> None:
        # Its worker is done with the run in a moment, which hands out what waits.
        item.again = True
        item.began_s = None
        if item.trace is not None:
            item.trace.step(QUEUE)
        item.waits_since_s = asyncio.get_running_loop().time()
        self._queue.add(item)

    def _start_soft_timeout(self, run: Run[W]) -> None:
        soft_s = self._at_least(self._request_timeout_s * SOFT_TIMEOUT_SHARE, run)
        loop = asyncio.get_running_loop()
        run.soft_timeout = loop.call_later(soft_s, self._preempt, run, soft_s)

    def _preempt(self, run: Run[W], soft_s: float) -> None:
        """End a run that takes very long, if others wait that can still be answered in time."""
        first, *others = self._running[run.worker]
        if not (first is run or first.work is Work.CHUNKED_BODY):
            # Its turn has not come: what runs before it has a limit of its own.
            self._start_soft_timeout(run)
        elif (others and run.work is not Work.CHUNKED_BODY) or self._queue.has_live():
            run.items[0].fail(
                RequestTimeoutError(
                    f"the model gave no answer within {soft_s:g} s, and others wait"
                )
            )
            run.worker.kill()


def _traced(call: Call, run: Run[W]) -> Call:
    """Return what the worker gets: with the trace's context where some request is traced."""
    return call if run.trace is None else traced(call, run.trace.context)


async def _answer_wide(items: Sequence[QueuedRequest], predictions: Predictions) -> None:
    """Answer requests whose answers are not all to be written in one step of the event loop.

    Those that are small enough are, by one or as many in a step as are small enough together.
    """
    start = written_from = 0
    for item in items:
        stop = start + item.rows
        if is_wide(predictions, written_from, stop) and start > written_from:
            # The others do so now, since each waits for its own answer.
            await asyncio.sleep(0)
            written_from = start
        _answer_share(item, predictions, start, stop, wide=is_wide(predictions, start, stop))
        start = stop


def _answer_share(
    item: QueuedRequest,
    predictions: Predictions,
    start: int,
    stop: int,
    *,
    wide: bool,
    encodable: Predictions | None = None,
) -> None:
    """Give a request its rows of a batch, or the fault of the first that is not finite."""
    if predictions.non_finite:
        index = bisect.bisect_left(predictions.non_finite, start)
        if index < len(predictions.non_finite) and predictions.non_finite[index] < stop:
            item.fail(NonFinitePredictionError(predictions.non_finite[index] - start))
            return
    item.succeed(Share(predictions, start, stop, wide, encodable or predictions))


def _answer_raw(item: QueuedRequest, reply: RawReply) -> None:
    if reply.non_finite_row is not None:
        item.fail(NonFinitePredictionError(reply.non_finite_row))
    else:
        item.succeed(reply)
