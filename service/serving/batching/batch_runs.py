"""Have a worker answer one batch, and give each of its requests what is its own.

A batch that raises, loses its worker or takes too long is run again request by request. Then each
request answers for itself, and only the culprit fails.
"""

import asyncio
import bisect
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from service.contracts.bounds import is_wide
from service.contracts.contract import Call, Predictions
from service.contracts.encoding import unpacked
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
from service.workers.messages import RawReply, RawRequest

BATCH_TIMEOUT_SHARE = 1 / 3
"""Of a request's timeout: the most that a batch of several may take, or a body run again."""
RERUN_TIMEOUT_SHARE = 1 / 10
"""Of a request's timeout: what a call may take when it is run again, alone, after a failure."""
PATIENCE_SHARE = 0.75
"""Of a request's timeout: after it, a run gives way to others that wait behind it."""
_TYPICAL_RUNS = 10
"""A re-run may always take this many times what a run typically took."""
_EXPECTED_RUNS = 3
"""A run may always take this many times what it was expected to."""
_MAX_LOSSES = 2
"""How many workers a request may cost: the first loss may have been another's fault."""

_log = structlog.get_logger("batcher")


class BatchWorker(Protocol):
    """What a batch needs of its worker; `workers.pool_worker.Worker` is the real one."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer, or raise ModelFailedError, ChildLostError, ChildTimeoutError.

        May be called again before it has answered: then it answers one after the other, and the
        second one's time begins with the first one's answer.
        """
        ...

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Answer an undecoded body, or raise as `predict` and as decoding does.

        Where the request says that it is answered in steps, `predict` may be called meanwhile.
        """
        ...

    async def ping(self, timeout_s: float) -> None:
        """Wait for a sign of life. Raise ChildLostError, ChildTimeoutError."""
        ...

    def kill(self) -> None:
        """End the worker; a call under way raises ChildLostError."""
        ...


W = TypeVar("W", bound=BatchWorker)


class BatchRuns(Generic[W]):
    """The batches that workers have: one each, or one more in its pipe behind that.

    Or one more beside a body that is answered in steps.
    """

    def __init__(self, queue: RequestQueue, cost: BatchCost, request_timeout_s: float) -> None:
        self._queue = queue
        self._cost = cost
        self._request_timeout_s = request_timeout_s
        self._running: dict[W, list[Sequence[QueuedRequest]]] = {}

    @property
    def bodies(self) -> int:
        """How many bodies are being answered."""
        return sum(batches[0][0].is_body for batches in self._running.values())

    def is_running(self, worker: W) -> bool:
        """Tell whether a worker has a batch."""
        return worker in self._running

    def may_be_followed(self) -> list[W]:
        """Return the workers behind whose only batch another one may go.

        Not behind one that is run again: if it cost the worker, another would share the blame.
        """
        return [
            worker
            for worker, (first, *others) in self._running.items()
            if not (others or first[0].is_body or first[0].again)
        ]

    def may_be_joined(self) -> list[W]:
        """Return the workers that answer nothing but a body, and that in steps."""
        return [
            worker
            for worker, (first, *others) in self._running.items()
            if first[0].chunked and not others
        ]

    def remaining_s(self, now_s: float, with_bodies: bool) -> float:  # noqa: FBT001 - a callback
        """Return how much longer all runs together will take, by what is known of such."""
        left_s = 0.0
        for batches in self._running.values():
            for items in batches:
                first = items[0]
                if first.is_body and not with_bodies:
                    continue
                ran_s = 0.0 if first.began_s is None else now_s - first.began_s
                left_s += max(0.0, first.expected_s - ran_s)
        return left_s

    def begin(self, worker: W, items: Sequence[QueuedRequest]) -> None:
        """Count a batch as one that its worker has, at once; `run` is to follow."""
        batches = self._running.setdefault(worker, [])
        batches.append(items)
        if len(batches) == 1 or batches[0][0].chunked:
            self._note_begin(items)

    def _note_begin(self, items: Sequence[QueuedRequest]) -> None:
        now_s = asyncio.get_running_loop().time()
        for item in items:
            item.began_s = now_s

    async def run(self, worker: W, items: Sequence[QueuedRequest]) -> None:
        """Have the worker answer a batch: each request is answered, fails, or is to run again."""
        first = self._running[worker][0]
        follows = first is not items
        try:
            if items[0].losses and not await self._is_there(worker, items[0]):
                self._run_again(items[0])
            elif len(items) == 1:
                beside = follows and first[0].chunked
                await self._run_alone(worker, items[0], follows=follows, beside=beside)
            else:
                await self._run_together(worker, items, follows=follows)
        except Exception:  # noqa: BLE001 - a crash barrier
            # A defect of ours must not end the queue that all other requests wait in.
            _log.exception("batch failed", requests=len(items))
            for item in items:
                item.fail(ServiceError("the batch could not be run"))
        finally:
            batches = self._running[worker]
            batches.remove(items)
            if not batches:
                del self._running[worker]
            elif batches[0][0].began_s is None:
                # It lay in the pipe behind this one.
                self._note_begin(batches[0])

    async def _run_together(
        self, worker: W, items: Sequence[QueuedRequest], *, follows: bool
    ) -> None:
        """Answer several requests by one call, or send each of them to be run alone."""
        calls = [item.payload for item in items if isinstance(item.payload, Call)]
        limit_s = self._at_least(self._request_timeout_s * BATCH_TIMEOUT_SHARE, items[0])
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
        items[0].took_s = predictions.took_s
        self._note(predictions, predictions.rows, started, follows=follows)
        if is_wide(predictions, 0, predictions.rows):
            await self._answer_wide(items, predictions)
            return
        # It takes some microseconds, and spares each request as many.
        predictions = unpacked(predictions)
        start = 0
        for item in items:
            _answer_share(item, predictions, start, start + item.rows, wide=False)
            start += item.rows

    async def _answer_wide(self, items: Sequence[QueuedRequest], predictions: Predictions) -> None:
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

    async def _run_alone(
        self, worker: W, item: QueuedRequest, *, follows: bool, beside: bool
    ) -> None:
        """Answer one request; what it raises is its own.

        The limit counts from here, not from the request's arrival: a queue that is too long must
        not make workers that do their best look hung. `beside` a body that is answered in steps it
        is that of a batch: whose fault it is shows when each is run again.
        """
        limit_s = self._limit_s(item, beside=beside)
        loop = asyncio.get_running_loop()
        self._be_patient(worker, item)
        started = loop.time()
        try:
            if isinstance(item.payload, Call):
                predictions = await worker.predict(item.payload, limit_s)
                item.took_s = predictions.took_s
                self._note(predictions, item.rows, started, follows=follows)
                # All of its rows: with ROWS_OUT=any there may be more than it sent, or fewer.
                rows = predictions.rows
                _answer_share(item, predictions, 0, rows, wide=is_wide(predictions, 0, rows))
            else:
                body = msgspec.structs.replace(item.payload, chunked=item.chunked)
                reply = await worker.predict_raw(body, limit_s)
                now_s = loop.time()
                item.took_s = now_s - started
                self._cost.note_body(item.payload.kind, item.bytes, item.took_s, now_s)
                if not item.chunked:
                    self._cost.note(item.took_s)
                _answer_raw(item, reply)
        except ChildTimeoutError:
            if beside:
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
            if item.patience is not None:
                item.patience.cancel()

    async def _is_there(self, worker: W, item: QueuedRequest) -> bool:
        """Tell whether a worker still answers, before it gets what another one was lost with.

        Who kills one may kill all of them, and the front learns of each a moment later: that must
        not look as if the request had cost the second one, too.
        """
        try:
            await worker.ping(self._limit_s(item, beside=False))
        except (ChildLostError, ChildTimeoutError):
            return False
        return True

    def _limit_s(self, item: QueuedRequest, *, beside: bool) -> float:
        """Return the seconds that a run of this request alone may take."""
        if beside or (item.again and item.is_body):
            # Beside a body a call shares its worker, as in a batch.
            return self._at_least(self._request_timeout_s * BATCH_TIMEOUT_SHARE, item)
        if item.again:
            rerun_s = self._request_timeout_s * RERUN_TIMEOUT_SHARE
            return max(rerun_s, _TYPICAL_RUNS * self._cost.typical_s)
        return self._request_timeout_s

    def _at_least(self, limit_s: float, first: QueuedRequest) -> float:
        """Return a run's limit, or more where runs like it were seen to need more.

        A worker that does its best is not ended for what it was given.
        """
        return min(self._request_timeout_s, max(limit_s, _EXPECTED_RUNS * first.expected_s))

    def _note(self, predictions: Predictions, rows: int, started: float, *, follows: bool) -> None:
        now = asyncio.get_running_loop().time()
        # What it waited for the batch before it is no part of what it took.
        self._cost.note(predictions.took_s if follows else now - started)
        self._cost.note_rows(rows, predictions.took_s, now)

    def _run_again(self, item: QueuedRequest) -> None:
        # Its worker is given back in a moment, which hands out what waits.
        item.again = True
        item.began_s = None
        self._queue.add(item)

    def _be_patient(self, worker: W, item: QueuedRequest) -> None:
        patience_s = self._at_least(self._request_timeout_s * PATIENCE_SHARE, item)
        loop = asyncio.get_running_loop()
        item.patience = loop.call_later(patience_s, self._give_way, worker, item, patience_s)

    def _give_way(self, worker: W, item: QueuedRequest, patience_s: float) -> None:
        """End a run that takes very long, if others wait who can still be answered in time."""
        (first, *others) = self._running[worker]
        if not (first[0] is item or first[0].chunked):
            # Its turn has not come: what runs before it has a patience, or a limit, of its own.
            self._be_patient(worker, item)
        elif (others and not item.chunked) or self._queue.has_live():
            item.fail(
                RequestTimeoutError(
                    f"the model gave no answer within {patience_s:g} s, and others wait"
                )
            )
            worker.kill()


def _answer_share(
    item: QueuedRequest, predictions: Predictions, start: int, stop: int, *, wide: bool
) -> None:
    """Give a request its rows of a batch, or the fault of the first that is not finite."""
    if predictions.non_finite:
        index = bisect.bisect_left(predictions.non_finite, start)
        if index < len(predictions.non_finite) and predictions.non_finite[index] < stop:
            item.fail(NonFinitePredictionError(predictions.non_finite[index] - start))
            return
    item.succeed(Share(predictions, start, stop, wide))


def _answer_raw(item: QueuedRequest, reply: RawReply) -> None:
    if reply.non_finite_row is not None:
        item.fail(NonFinitePredictionError(reply.non_finite_row))
    else:
        item.succeed(reply)
