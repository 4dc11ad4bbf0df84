"""Answer together the requests that wait together.

A lone request never waits: it goes to an idle worker at once. While all workers are busy, requests
gather, and the next worker takes as many as fit, or as make a batch large enough (`batch_cost`, and
a share of all that are under way): more would only keep it from beginning while the front is still
at work on others. For the same reason a batch that is large enough goes into the pipe of a worker
that has not answered the one before. A batch waits up to MAX_BATCH_WAIT_MS, or half of the time in
which a worker becomes free, for the callers of the one before it, if most of such came back so
soon.

A body that a worker decodes holds it for as long as thousands of rows take. While small requests
come, one worker is left to them; where there is no other, it answers a body in steps, and calls
between them. Where there is another, and calls are short, the body goes in steps all the same:
between them its worker lets others have the CPU.

What becomes of a batch in its worker, and who answers for a failure, is `batch_runs`'s.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol

import anyio
import msgspec

from service.contracts.contract import Call
from service.core.errors import (
    OverloadedError,
    QueueTimeoutError,
    RequestTimeoutError,
    ServiceError,
    ShuttingDownError,
)
from service.serving.batching.admission import Admission, QueueLimits
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batch_delay import BatchDelay
from service.serving.batching.batch_runs import PATIENCE_SHARE, BatchRuns, W
from service.serving.batching.request_queue import Answer, Caller, QueuedRequest, RequestQueue
from service.workers.messages import RawRequest, Timing

_GATHER_SHARE = 0.5
"""Of the time in which a worker becomes free: who waits for company may wait so much longer."""
_BATCH_SHARE = 1 / 4
"""Of all rows under way: more of them in one batch, and front and workers would take turns."""
_SHORT_RUN_S = 0.005
"""Of a typical run: what goes behind a longer one might have had another worker sooner, and a body
in steps as long would take several times as long as at once.
"""
_SMALL_REQUESTS_WITHIN_S = 1.0
"""How long after the last small request a worker is kept free of bodies, or lets others between."""


class BatchWorkers(Protocol[W]):
    """Where the batcher gets its workers; `workers.pool.Pool` is the real one."""

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

    def may_follow(self, worker: W) -> bool:
        """Tell whether a worker that is held may be given a second call behind the first."""
        ...

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever a worker became idle."""
        ...


class BatchSettings(msgspec.Struct, frozen=True):
    """How many rows a batch may have, how long it may gather, and a request's time limit.

    And what may wait: rows, 0 for as many as can be answered in time, and bytes of bodies.
    """

    max_rows: int
    max_wait_s: float
    request_timeout_s: float
    queue_rows: int = 0
    queue_bytes: int = 2**28


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
        self._open: dict[QueuedRequest, None] = {}
        """Who has no answer yet, in the order in which they came."""
        self._expiry: asyncio.TimerHandle | None = None
        """When the limit of one of them is over, the first as a rule."""
        self._queue = RequestQueue()
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = False
        self._dispatching = False
        self._held: W | None = None
        """An idle worker that waits for the requests of the next batch to gather."""
        self._delay = BatchDelay()
        self._gathered: asyncio.TimerHandle | None = None
        """When that has waited for long enough."""
        self._last_call_at = -math.inf
        self._open_rows = 0
        self._cost = BatchCost()
        self._runs: BatchRuns[W] = BatchRuns(self._queue, self._cost, settings.request_timeout_s)
        limits = QueueLimits(
            settings.request_timeout_s,
            settings.max_rows,
            settings.queue_rows,
            settings.queue_bytes,
        )
        self._admission = Admission(
            limits, self._queue, self._cost, self._runs.remaining_s, workers.count
        )

    @property
    def typical_s(self) -> float:
        """What a run typically takes; 0 before there was one."""
        return self._cost.typical_s

    @property
    def waiting(self) -> int:
        """How many requests are not yet with a worker."""
        return len(self._queue)

    def learn(self, timings: Sequence[Timing]) -> None:
        """Take what the model was seen to take for what it will, until requests tell."""
        now_s = asyncio.get_running_loop().time()
        for timing in timings:
            self._cost.rows.note(timing.rows, timing.ms / 1000, now_s)
        self._admission.look(row_wise=self.row_wise)

    def refusal(
        self, body_bytes: int, rows: int = 0, *, is_body: bool = False
    ) -> OverloadedError | None:
        """Say why a request can't be answered in time, None where it can be let in.

        To be asked before anything is done for it, such as reading its body, whose size is known
        from its head; `rows` is 0 where they are not known, and `is_body` whether a worker is to
        decode it. The answer counts for this step of the
        event loop: others may come before the body has. `submit` looks again.
        """
        if self._admission.is_easy(rows, body_bytes) or not len(self._queue):
            # Where nothing waits: what is known of its cost may be too old.
            return None
        now_s = asyncio.get_running_loop().time()
        return self._admission.refusal(
            rows, body_bytes, now_s, row_wise=self.row_wise, is_body=is_body
        )

    async def submit(
        self, payload: Call | RawRequest, body_bytes: int = 0, caller: Caller | None = None
    ) -> Answer:
        """Wait for the answer to a validated call, or to a body that the worker will decode.

        `body_bytes` is the size of what it came in; a `caller` who has gone is not answered. Raise
        OverloadedError where there would be no answer in time; past the request's time limit
        RequestTimeoutError where the model took most of it, else QueueTimeoutError;
        ModelFailedError, NonFinitePredictionError, ChildLostError where the request cost its worker
        twice, for a body what decoding raises, and ShuttingDownError where `run` has ended.
        """
        if self._ended:
            raise ShuttingDownError("this version has ended")
        loop = asyncio.get_running_loop()
        rows = payload.rows if isinstance(payload, Call) else 0
        if not self._admission.is_easy(rows, body_bytes):
            refusal = self.refusal(body_bytes, rows, is_body=isinstance(payload, RawRequest))
            if refusal is not None:
                raise refusal
        item = QueuedRequest(payload, loop.create_future(), loop.time(), body_bytes, caller)
        if isinstance(payload, RawRequest):
            item.cost_s = self._cost.bytes[payload.kind].predict_s(body_bytes)
        if self._expiry is None:
            self._expiry = loop.call_later(self.settings.request_timeout_s, self._expire)
        self._open[item] = None
        self._open_rows += item.rows
        self._queue.add(item)
        if not item.is_body:
            self._last_call_at = item.since
            self._delay.note_arrival(item.since)
        if self._queue.call_rows >= self._enough_rows:
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
            del self._open[item]
            self._open_rows -= item.rows
            if item.queued:
                self._queue.discard(item)

    async def run(self) -> None:
        """Hand batches to workers, until cancelled; whoever still waits then is told so."""
        try:
            # asyncio's, which a callback can start tasks in, too.
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    self._workers.when_idle(self._dispatch)
                    self._dispatch()
                    await anyio.sleep_forever()
                finally:
                    # Before the batches are cancelled, so that none is started in their place, and
                    # before anyone is told, so that nobody joins those who are.
                    self._tasks = None
                    self._ended = True
        finally:
            self._stop_delay()
            if self._expiry is not None:
                self._expiry.cancel()
            if self._held is not None:
                self._workers.give_back(self._held)
            for item in self._open:
                item.fail(ShuttingDownError("the service ended before this was answered"))

    def _dispatch(self) -> None:
        """Hand what waits to idle workers, as far as both go; called whenever either comes.

        A call, and no task that waits for either: a lone request has no detour to its worker.
        """
        self._dispatching = False
        while self._tasks is not None and self._has_work():
            worker = self._held or self._workers.take_idle()
            if worker is None:
                self._dispatch_behind(self._tasks)
                self._dispatch_beside(self._tasks)
                return
            if not self._is_due():
                self._held = worker
                return
            self._held = None
            if items := self._take():
                self._start(self._tasks, worker, items)
            else:
                self._workers.give_back(worker)

    def _dispatch_behind(self, tasks: asyncio.TaskGroup) -> None:
        """Hand whole batches to workers that still have one: they need not wait for the front."""
        queue = self._queue
        while not (queue.again or queue.bodies) and queue.call_rows >= self._enough_rows:
            workers = self._runs.may_be_followed() if self._cost.typical_s < _SHORT_RUN_S else []
            worker = next(filter(self._workers.may_follow, workers), None)
            if worker is None:
                return
            if items := self._take():
                self._start(tasks, worker, items)

    def _dispatch_beside(self, tasks: asyncio.TaskGroup) -> None:
        """Hand calls to workers that answer bodies in steps, where every worker has a body."""
        queue = self._queue
        while queue.calls and self._runs.bodies >= self._workers.count:
            workers = self._runs.may_be_joined()
            worker = next(filter(self._workers.may_follow, workers), None)
            if worker is None or not self._is_due():
                return
            if items := queue.take_calls(self._admission.batch_rows, self._enough_rows):
                self._start(tasks, worker, items)

    def _start(self, tasks: asyncio.TaskGroup, worker: W, items: Sequence[QueuedRequest]) -> None:
        first = items[0]
        if first.is_body:
            first.chunked = self._goes_chunked(first)
            first.expected_s = first.cost_s
            self._admission.bodies_run += 1
        else:
            first.expected_s = self._admission.long_run_s(items)
        self._runs.begin(worker, items)
        tasks.create_task(self._run_batch(worker, items))

    async def _run_batch(self, worker: W, items: Sequence[QueuedRequest]) -> None:
        try:
            await self._runs.run(worker, items)
        finally:
            self._admission.bodies_run -= items[0].is_body
            self._note_answered(items)
            if self._runs.is_running(worker):
                # There is room behind its other batch now.
                self._dispatch()
            else:
                self._workers.give_back(worker)

    @property
    def _enough_rows(self) -> float:
        """From how many rows on a batch goes, and gets no more."""
        return max(self._cost.enough_rows, self._open_rows * _BATCH_SHARE)

    def _has_work(self) -> bool:
        queue = self._queue
        return bool(queue.again or queue.calls or (queue.bodies and self._has_lane()))

    def _take(self) -> list[QueuedRequest]:
        """Take the next batch; none where all who waited have gone."""
        return self._queue.take(
            max_rows=self._admission.take_rows(asyncio.get_running_loop().time()),
            enough_rows=self._enough_rows,
            merging=self.row_wise,
            bodies=self._has_lane(),
        )

    def _has_lane(self) -> bool:
        """Tell whether a body may have a worker: one is left to small requests, if any come."""
        return self._runs.bodies < max(1, self._workers.count - 1) or not self._has_small_requests()

    def _goes_chunked(self, body: QueuedRequest) -> bool:
        """Tell whether a body is answered in steps, for which it takes longer.

        Only where small requests come, which have no worker else or are short enough to gain by it,
        and not for one that is run again: if it cost the worker, another would share the blame.
        """
        is_last = self._runs.bodies + 1 >= self._workers.count
        pays = is_last or self._cost.typical_s < _SHORT_RUN_S
        return self.row_wise and pays and not body.again and self._has_small_requests()

    def _has_small_requests(self) -> bool:
        """Tell whether any has come of late."""
        since = asyncio.get_running_loop().time() - _SMALL_REQUESTS_WITHIN_S
        return self._last_call_at >= since

    def _note_answered(self, items: Sequence[QueuedRequest]) -> None:
        """Let the next batch wait for those who were answered, if they come back soon."""
        now_s = asyncio.get_running_loop().time()
        first = items[0]
        if first.began_s is not None:
            self._admission.note_done(first.took_s, now_s, row_wise=self.row_wise)
        if first.is_body or first.again:
            return
        next_worker_s = self._cost.typical_s / self._workers.count
        wait_s = min(self.settings.max_wait_s, _GATHER_SHARE * next_worker_s)
        self._delay.note_answered(len(items), len(self._queue.calls), now_s, wait_s)

    def _is_due(self) -> bool:
        """Tell whether the next batch may go.

        The callers of the last one have a moment to come back, if that is what they do.
        """
        queue = self._queue
        loop = asyncio.get_running_loop()
        alone = queue.again or not self.row_wise or (queue.bodies and self._has_lane())
        gathered = len(queue.calls) >= self._delay.expected(loop.time())
        enough_rows = min(self._enough_rows, self._admission.batch_rows)
        if alone or gathered or queue.call_rows >= enough_rows:
            self._stop_delay()
            return True
        if self._gathered is None:
            self._gathered = loop.call_at(self._delay.until_s, self._end_delay)
        return False

    def _end_delay(self) -> None:
        """Have those go who came, however few."""
        self._stop_delay()
        self._delay.end()
        self._dispatch()

    def _stop_delay(self) -> None:
        if self._gathered is not None:
            self._gathered.cancel()
            self._gathered = None

    def _expire(self) -> None:
        """Give up on those whose limit is over, and look again when that of the next one is.

        One timer for all: the limit is the same for each, and most are answered long before.
        """
        loop = asyncio.get_running_loop()
        limit_s = self.settings.request_timeout_s
        self._expiry = None
        for item in self._open:
            if item.since + limit_s > loop.time():
                self._expiry = loop.call_at(item.since + limit_s, self._expire)
                return
            item.fail(self._lateness(item, loop.time()))

    def _lateness(self, item: QueuedRequest, now_s: float) -> ServiceError:
        """Say of a request that is late whose fault that is: the model's, or the queue's."""
        limit_s = self.settings.request_timeout_s
        late = f"no answer within {limit_s:g} s (REQUEST_TIMEOUT_S)"
        if item.began_s is None or now_s - item.began_s < limit_s * PATIENCE_SHARE:
            return QueueTimeoutError(f"{late}: no worker was free soon enough")
        return RequestTimeoutError(late)
