"""Answer together the requests that wait together, so that none of them harms another.

A lone request never waits: it goes to an idle worker at once. While all workers are busy, requests
gather, and the next worker takes as many as fit, or as make a batch large enough (`run_cost`): more
would only keep it from beginning while the front is still at work on others. After a batch that
held several, the next waits up to MAX_BATCH_WAIT_MS, or half of what a run takes, for as many
again, since callers that were answered together tend to come back together.

A batch that raises, loses its worker or takes too long is run again request by request. Then each
request answers for itself, and only the culprit fails.
"""

import asyncio
import bisect
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import anyio
import msgspec
import structlog

from service.contracts.contract import Call, Predictions
from service.contracts.encoding import unpacked
from service.contracts.merge import merge
from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
    ShuttingDownError,
)
from service.runtimes.messages import RawReply, RawRequest
from service.serving.request_queue import Answer, QueuedRequest, RequestQueue, Share
from service.serving.run_cost import RunCost

BATCH_TIMEOUT_SHARE = 1 / 3
"""Of a request's timeout: the most that a batch of several may take."""
RERUN_TIMEOUT_SHARE = 1 / 10
"""Of a request's timeout: what a request may take when it is run again, alone, after a failure."""
PATIENCE_SHARE = 0.75
"""Of a request's timeout: after it, a run gives way to others that wait behind it."""
GATHER_SHARE = 0.5
"""Of a typical run: to wait longer for company would cost more than running twice."""
_TYPICAL_RUNS = 10
"""A re-run may always take this many times what a run typically took."""
_SMALL_REQUESTS_WITHIN_S = 1.0
"""How long a worker is kept free of bodies after the last small request."""
_UNPACKED_ROWS = 1_000
"""Of a batch of several requests: it takes some microseconds then, and spares them as many each."""
_MAX_LOSSES = 2
"""How many workers a request may cost: the first loss may have been another's fault."""


class BatchWorker(Protocol):
    """What the batcher needs of a worker; `runtimes.pool.Worker` is the real one."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer, or raise ModelFailedError, ChildLostError, ChildTimeoutError."""
        ...

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Answer an undecoded body, or raise as `predict` and as decoding does."""
        ...

    def kill(self) -> None:
        """End the worker; a call under way raises ChildLostError."""
        ...


W = TypeVar("W", bound=BatchWorker)


class BatchWorkers(Protocol[W]):
    """Where the batcher gets its workers; `runtimes.pool.Pool` is the real one."""

    @property
    def count(self) -> int:
        """How many workers there are to be."""
        ...

    def take_idle(self) -> W | None:
        """Hold an idle worker, until `give_back`; None where there is none."""
        ...

    def give_back(self, worker: W) -> None:
        """Let go of a worker that `take_idle` gave."""
        ...

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever a worker became idle."""
        ...


class BatchSettings(msgspec.Struct, frozen=True):
    """How many rows a batch may have, how long it may gather, and a request's time limit."""

    max_rows: int
    max_wait_s: float
    request_timeout_s: float


_log = structlog.get_logger("batcher")


class Batcher(Generic[W]):
    """The queue of one loaded version. `run` hosts it; `submit` may be called while it does.

    `row_wise` is whether requests may be merged at all: only for a version that was shown to
    answer rows together as it answers them alone.
    """

    def __init__(
        self, workers: BatchWorkers[W], settings: BatchSettings, *, row_wise: bool
    ) -> None:
        self.row_wise = row_wise
        self._workers = workers
        self.settings = settings
        self._open: set[QueuedRequest] = set()
        self._queue = RequestQueue()
        self._nursery: asyncio.TaskGroup | None = None
        self._ended = False
        self._dispatching = False
        self._held: W | None = None
        """An idle worker that waits for the requests of the next batch to gather."""
        self._gathering: asyncio.TimerHandle | None = None
        self._last_batch_requests = 1
        self._last_call_at = -math.inf
        self._bodies_running = 0
        self._cost = RunCost()

    @property
    def waiting(self) -> int:
        """How many requests are not yet with a worker."""
        return len(self._queue)

    async def submit(self, payload: Call | RawRequest) -> Answer:
        """Wait for the answer to a validated call, or to a body that the worker will decode.

        Raise RequestTimeoutError past the request's time limit, ModelFailedError,
        NonFinitePredictionError, ChildLostError where the request cost its worker twice, for a body
        what decoding raises, and ShuttingDownError where `run` has ended.
        """
        if self._ended:
            raise ShuttingDownError("this version has ended")
        loop = asyncio.get_running_loop()
        item = QueuedRequest(payload, loop.create_future(), loop.time())
        expiry = loop.call_later(self.settings.request_timeout_s, self._expire, item)
        self._open.add(item)
        self._queue.add(item)
        if not item.is_body:
            self._last_call_at = item.since
        if self._queue.call_rows >= self._cost.enough_rows:
            # At once: a worker can begin while others are still read.
            self._dispatch()
        elif not self._dispatching:
            # Not at once: those who come in one step of the event loop go together.
            self._dispatching = True
            loop.call_soon(self._dispatch)
        try:
            return await item.answer
        finally:
            # A caller that goes away leaves a done future behind, and nobody else is disturbed.
            expiry.cancel()
            self._open.discard(item)

    async def run(self) -> None:
        """Hand batches to workers, until cancelled; whoever still waits then is told so."""
        try:
            # asyncio's, which a callback can start tasks in, too.
            async with asyncio.TaskGroup() as nursery:
                self._nursery = nursery
                self._workers.when_idle(self._dispatch)
                self._dispatch()
                await anyio.sleep_forever()
        finally:
            # First, so that nobody can join those who are told: they would wait for nothing.
            self._ended = True
            self._nursery = None
            if self._gathering is not None:
                self._gathering.cancel()
            if self._held is not None:
                self._workers.give_back(self._held)
            for item in self._open:
                item.fail(ShuttingDownError("the service ended before this was answered"))

    def _dispatch(self) -> None:
        """Hand what waits to idle workers, as far as both go; called whenever either comes.

        A call, and no task that waits for either: a lone request has no detour to its worker.
        """
        self._dispatching = False
        while self._nursery is not None and self._has_work():
            worker = self._held or self._workers.take_idle()
            if worker is None:
                return
            if not self._is_due():
                self._held = worker
                return
            self._held = None
            items = self._take()
            if items:
                self._bodies_running += items[0].is_body
                self._nursery.create_task(self._run_batch(worker, items))
            else:
                self._workers.give_back(worker)

    def _has_work(self) -> bool:
        queue = self._queue
        return bool(queue.again or queue.calls or (queue.bodies and self._has_lane()))

    def _take(self) -> list[QueuedRequest]:
        """Take the next batch; none where all who waited have gone."""
        items = self._queue.take(
            max_rows=self.settings.max_rows,
            enough_rows=self._cost.enough_rows,
            merging=self.row_wise,
            bodies=self._has_lane(),
        )
        if items and not (items[0].is_body or items[0].again):
            self._last_batch_requests = len(items)
        return items

    def _has_lane(self) -> bool:
        """Tell whether a body may have a worker: one is left to small requests, if any come."""
        return (
            self._bodies_running < max(1, self._workers.count - 1)
            or self._last_call_at < asyncio.get_running_loop().time() - _SMALL_REQUESTS_WITHIN_S
        )

    def _is_due(self) -> bool:
        """Tell whether the next batch may go.

        The callers of the last one have a moment to come back, if it held several.
        """
        queue = self._queue
        alone = queue.again or not self.row_wise or (queue.bodies and self._has_lane())
        gathered = len(queue.calls) >= self._last_batch_requests
        if alone or gathered or queue.call_rows >= self._cost.enough_rows:
            self._stop_gathering()
            return True
        wait_s = min(self.settings.max_wait_s, GATHER_SHARE * self._cost.typical_s)
        if self._gathering is None and wait_s > 0:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(wait_s, self._end_gathering)
        return self._gathering is None

    def _end_gathering(self) -> None:
        """Have those go who came, however few."""
        self._last_batch_requests = 1
        self._dispatch()

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    async def _run_batch(self, worker: W, items: Sequence[QueuedRequest]) -> None:
        """Have a worker answer one batch."""
        try:
            if len(items) == 1:
                await self._run_alone(worker, items[0])
            else:
                await self._run_together(worker, items)
        except Exception:  # noqa: BLE001 - a crash barrier
            # A defect of ours must not end the queue that all other requests wait in.
            _log.exception("batch failed", requests=len(items))
            for item in items:
                item.fail(ServiceError("the batch could not be run"))
        finally:
            self._bodies_running -= items[0].is_body
            self._workers.give_back(worker)

    async def _run_together(self, worker: BatchWorker, items: Sequence[QueuedRequest]) -> None:
        """Answer several requests by one call, or send each of them to be run alone."""
        calls = [item.payload for item in items if isinstance(item.payload, Call)]
        limit_s = self.settings.request_timeout_s * BATCH_TIMEOUT_SHARE
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            predictions = await worker.predict(merge(calls), limit_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be one request's alone
            if not isinstance(error, ServiceError):
                _log.exception("batch failed", requests=len(items))
            for item in items:
                item.losses += isinstance(error, ChildLostError)
                self._run_again(item)
            return
        self._note(predictions, started)
        if predictions.rows <= _UNPACKED_ROWS:
            predictions = unpacked(predictions)
        start = 0
        for item in items:
            _answer_share(item, predictions, start)
            start += item.rows

    async def _run_alone(self, worker: BatchWorker, item: QueuedRequest) -> None:
        """Answer one request; what it raises is its own.

        The limit counts from here, not from the request's arrival: a queue that is too long must
        not make workers that do their best look hung.
        """
        limit_s = self.settings.request_timeout_s
        patience_s = limit_s * PATIENCE_SHARE
        if item.again:
            limit_s = max(limit_s * RERUN_TIMEOUT_SHARE, _TYPICAL_RUNS * self._cost.typical_s)
        loop = asyncio.get_running_loop()
        give_way = loop.call_later(patience_s, self._give_way, worker, item, patience_s)
        started = loop.time()
        try:
            if isinstance(item.payload, Call):
                predictions = await worker.predict(item.payload, limit_s)
                self._note(predictions, started)
                _answer_share(item, predictions, 0)
            else:
                reply = await worker.predict_raw(item.payload, limit_s)
                self._cost.note(loop.time() - started)
                _answer_raw(item, reply)
        except ChildTimeoutError:
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
            give_way.cancel()

    def _note(self, predictions: Predictions, started: float) -> None:
        now = asyncio.get_running_loop().time()
        self._cost.note(now - started)
        self._cost.note_rows(predictions.rows, predictions.took_s, now)

    def _run_again(self, item: QueuedRequest) -> None:
        # Its worker is given back in a moment, which hands out what waits.
        item.again = True
        self._queue.add(item)

    def _give_way(self, worker: BatchWorker, item: QueuedRequest, patience_s: float) -> None:
        """End a run that takes very long, if others wait who can still be answered in time."""
        if self._queue.has_live():
            item.fail(
                RequestTimeoutError(
                    f"the model gave no answer within {patience_s:g} s, and others wait"
                )
            )
            worker.kill()

    def _expire(self, item: QueuedRequest) -> None:
        limit_s = self.settings.request_timeout_s
        item.fail(RequestTimeoutError(f"no answer within {limit_s:g} s (REQUEST_TIMEOUT_S)"))


def _answer_share(item: QueuedRequest, predictions: Predictions, start: int) -> None:
    """Give a request its rows of a batch, or the fault of the first that is not finite."""
    stop = start + item.rows
    if predictions.non_finite:
        index = bisect.bisect_left(predictions.non_finite, start)
        if index < len(predictions.non_finite) and predictions.non_finite[index] < stop:
            item.fail(NonFinitePredictionError(predictions.non_finite[index] - start))
            return
    item.succeed(Share(predictions, start, stop))


def _answer_raw(item: QueuedRequest, reply: RawReply) -> None:
    if reply.non_finite_row is not None:
        item.fail(NonFinitePredictionError(reply.non_finite_row))
    else:
        item.succeed(reply)
