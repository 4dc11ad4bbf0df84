"""Answer together the requests that wait together, so that none of them harms another.

A lone request never waits: it goes to an idle worker at once. While all workers are busy, requests
gather, and the next worker takes as many as fit. After a batch that held several, the next waits up
to MAX_BATCH_WAIT_MS for as many again, since callers that were answered together tend to come back
together.

A batch that raises, loses its worker or takes too long is run again request by request. Then each
request answers for itself, and only the culprit fails.
"""

import asyncio
import bisect
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
import msgspec
import structlog

from service.contracts.contract import Call, Predictions
from service.contracts.merge import merge
from service.core.errors import (
    ChildLostError,
    ChildTimeoutError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
    ShuttingDownError,
)
from service.runtimes.messages import RawReply

BATCH_TIMEOUT_SHARE = 1 / 3
"""Of a request's timeout: the most that a batch of several may take."""
RERUN_TIMEOUT_SHARE = 1 / 10
"""Of a request's timeout: what a request may take when it is run again, alone, after a failure."""
PATIENCE_SHARE = 0.75
"""Of a request's timeout: after it, a run gives way to others that wait behind it."""
_TYPICAL_RUNS = 10
"""A re-run may always take this many times what a run typically took."""
_MAX_LOSSES = 2
"""How many workers a request may cost: the first loss may have been another's fault."""


class BatchWorker(Protocol):
    """What the batcher needs of a worker; `runtimes.pool.Worker` is the real one."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer, or raise ModelFailedError, ChildLostError, ChildTimeoutError."""
        ...

    async def predict_raw(self, body: bytes, timeout_s: float) -> RawReply:
        """Answer an undecoded body, or raise as `predict` and as decoding does."""
        ...

    def kill(self) -> None:
        """End the worker; a call under way raises ChildLostError."""
        ...


class BatchWorkers(Protocol):
    """Where the batcher gets its workers; `runtimes.pool.Pool` is the real one."""

    def acquire(self) -> AbstractAsyncContextManager[BatchWorker]:
        """Wait for an idle worker and hold it."""
        ...


class BatchSettings(msgspec.Struct, frozen=True):
    """How many rows a batch may have, how long it may gather, and a request's time limit."""

    max_rows: int
    max_wait_s: float
    request_timeout_s: float


class Share(msgspec.Struct, frozen=True):
    """A request's share of a batch: rows [start, stop) of its predictions."""

    predictions: Predictions
    start: int
    stop: int


Answer = Share | RawReply

_log = structlog.get_logger("batcher")


class _Item:
    """A request that waits for its answer."""

    __slots__ = ("again", "answer", "key", "losses", "payload", "rows")

    def __init__(self, payload: Call | bytes, answer: "asyncio.Future[Answer]") -> None:
        self.payload = payload
        self.answer = answer
        self.again = False
        self.losses = 0
        self.rows = payload.rows if isinstance(payload, Call) else 0
        self.key = _merge_key(payload)

    def fail(self, error: ServiceError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def succeed(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class Batcher:
    """The queue of one loaded version. `run` hosts it; `submit` may be called while it does.

    `row_wise` is whether requests may be merged at all: only for a version that was shown to
    answer rows together as it answers them alone.
    """

    def __init__(self, workers: BatchWorkers, settings: BatchSettings, *, row_wise: bool) -> None:
        self.row_wise = row_wise
        self._workers = workers
        self.settings = settings
        self._open: set[_Item] = set()
        self._queue: deque[_Item] = deque()
        self._again: deque[_Item] = deque()
        """Requests of failed batches: each is run alone, before new ones."""
        self._arrived = anyio.Event()
        self._ended = False
        self._last_batch_requests = 1
        self._typical_run_s = 0.0

    @property
    def waiting(self) -> int:
        """How many requests are not yet with a worker."""
        return len(self._queue) + len(self._again)

    async def submit(self, payload: Call | bytes) -> Answer:
        """Wait for the answer to a validated call, or to a body that the worker will decode.

        Raise RequestTimeoutError past the request's time limit, ModelFailedError,
        NonFinitePredictionError, ChildLostError where the request cost its worker twice, for a body
        what decoding raises, and ShuttingDownError where `run` has ended.
        """
        if self._ended:
            raise ShuttingDownError("this version has ended")
        loop = asyncio.get_running_loop()
        item = _Item(payload, loop.create_future())
        expiry = loop.call_later(self.settings.request_timeout_s, self._expire, item)
        self._open.add(item)
        self._queue.append(item)
        self._arrived.set()
        try:
            return await item.answer
        finally:
            # A caller that goes away leaves a done future behind, and nobody else is disturbed.
            expiry.cancel()
            self._open.discard(item)

    async def run(self) -> None:
        """Hand batches to workers, until cancelled; whoever still waits then is told so."""
        try:
            async with anyio.create_task_group() as batches:
                while True:
                    await self._wait_for_requests()
                    taken = anyio.Event()
                    batches.start_soon(self._run_batch, taken)
                    await taken.wait()
        finally:
            # First, so that nobody can join those who are told: they would wait for nothing.
            self._ended = True
            for item in self._open:
                item.fail(ShuttingDownError("the service ended before this was answered"))

    async def _wait_for_requests(self) -> None:
        while not self.waiting:
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def _run_batch(self, taken: anyio.Event) -> None:
        """Hold a worker for one batch; `taken` is set once the next batch may be sought."""
        items: list[_Item] = []
        try:
            async with self._workers.acquire() as worker:
                await self._gather()
                items = self._take()
                taken.set()
                if len(items) == 1:
                    await self._run_alone(worker, items[0])
                elif items:
                    await self._run_together(worker, items)
        except Exception:  # noqa: BLE001 - a crash barrier
            # A defect of ours must not end the queue that all other requests wait in.
            _log.exception("batch failed", requests=len(items))
            for item in items:
                item.fail(ServiceError("the batch could not be run"))
        finally:
            taken.set()

    async def _gather(self) -> None:
        """Give the callers of the last batch a moment to come back, if it held several."""
        expected = self._last_batch_requests
        if self._again or expected <= 1 or self.settings.max_wait_s <= 0 or not self.row_wise:
            return
        with anyio.move_on_after(self.settings.max_wait_s):
            while len(self._queue) < expected:
                self._arrived = anyio.Event()
                await self._arrived.wait()

    def _take(self) -> list[_Item]:
        """Take what the next batch holds: one request to run again, or those that fit together."""
        while self._again:
            item = self._again.popleft()
            if not item.answer.done():
                return [item]
        items: list[_Item] = []
        left: list[_Item] = []
        rows = 0
        while self._queue:
            item = self._queue.popleft()
            if item.answer.done():
                continue
            if items and not self._fits(items[0], item, rows):
                left.append(item)
                continue
            items.append(item)
            rows += item.rows
            if rows >= self.settings.max_rows or item.key is None or not self.row_wise:
                break
        self._queue.extendleft(reversed(left))
        self._last_batch_requests = len(items)
        return items

    def _fits(self, first: _Item, item: _Item, rows: int) -> bool:
        return item.key == first.key and rows + item.rows <= self.settings.max_rows

    async def _run_together(self, worker: BatchWorker, items: Sequence[_Item]) -> None:
        """Answer several requests by one call, or send each of them to be run alone."""
        calls = [item.payload for item in items if isinstance(item.payload, Call)]
        limit_s = self.settings.request_timeout_s * BATCH_TIMEOUT_SHARE
        started = time.monotonic()
        try:
            predictions = await worker.predict(merge(calls), limit_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may be one request's alone
            if not isinstance(error, ServiceError):
                _log.exception("batch failed", requests=len(items))
            for item in items:
                item.losses += isinstance(error, ChildLostError)
                self._run_again(item)
            return
        self._note_run(time.monotonic() - started)
        start = 0
        for item in items:
            _answer_share(item, predictions, start)
            start += item.rows

    async def _run_alone(self, worker: BatchWorker, item: _Item) -> None:
        """Answer one request; what it raises is its own.

        The limit counts from here, not from the request's arrival: a queue that is too long must
        not make workers that do their best look hung.
        """
        limit_s = self.settings.request_timeout_s
        patience_s = limit_s * PATIENCE_SHARE
        if item.again:
            limit_s = max(limit_s * RERUN_TIMEOUT_SHARE, _TYPICAL_RUNS * self._typical_run_s)
        give_way = asyncio.get_running_loop().call_later(
            patience_s, self._give_way, worker, item, patience_s
        )
        started = time.monotonic()
        try:
            if isinstance(item.payload, Call):
                predictions = await worker.predict(item.payload, limit_s)
                _answer_share(item, predictions, 0)
            else:
                _answer_raw(item, await worker.predict_raw(item.payload, limit_s))
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
        else:
            self._note_run(time.monotonic() - started)
        finally:
            give_way.cancel()

    def _run_again(self, item: _Item) -> None:
        item.again = True
        self._again.append(item)
        self._arrived.set()

    def _give_way(self, worker: BatchWorker, item: _Item, patience_s: float) -> None:
        """End a run that takes very long, if others wait who can still be answered in time."""
        if any(not other.answer.done() for other in (*self._queue, *self._again)):
            item.fail(
                RequestTimeoutError(
                    f"the model gave no answer within {patience_s:g} s, and others wait"
                )
            )
            worker.kill()

    def _note_run(self, duration_s: float) -> None:
        self._typical_run_s += (duration_s - self._typical_run_s) / 8

    def _expire(self, item: _Item) -> None:
        limit_s = self.settings.request_timeout_s
        item.fail(RequestTimeoutError(f"no answer within {limit_s:g} s (REQUEST_TIMEOUT_S)"))


def _merge_key(payload: Call | bytes) -> bytes | None:
    """Return what must be equal for two calls to be merged; None for a body, which never is."""
    if isinstance(payload, bytes):
        return None
    return msgspec.msgpack.encode(payload.params, order="deterministic")


def _answer_share(item: _Item, predictions: Predictions, start: int) -> None:
    """Give a request its rows of a batch, or the fault of the first that is not finite."""
    stop = start + item.rows
    if predictions.non_finite:
        index = bisect.bisect_left(predictions.non_finite, start)
        if index < len(predictions.non_finite) and predictions.non_finite[index] < stop:
            item.fail(NonFinitePredictionError(predictions.non_finite[index] - start))
            return
    item.succeed(Share(predictions, start, stop))


def _answer_raw(item: _Item, reply: RawReply) -> None:
    if reply.non_finite_row is not None:
        item.fail(NonFinitePredictionError(reply.non_finite_row))
    else:
        item.succeed(reply)
