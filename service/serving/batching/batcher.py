"""Answer together the requests that wait together.

A lone request never waits: it goes to an idle worker immediately. While all workers are busy,
requests gather, and the next worker takes as many as fit, or as make a batch large enough
(`batch_cost`, and a share of all that are open): more would only keep it from beginning while the
server process is still at work on others. For the same reason a batch that is large enough goes
into the pipe of a worker that has not answered the one before. A batch waits up to
MAX_BATCH_WAIT_MS, or half of the time in which a worker becomes free, for the callers of the one
before it, if most of such came back so soon (`batch_delay`).

What a worker may have in flight is `workers.occupancy`'s, which bodies may go now `body_policy`'s,
and what becomes of a run in its worker `batch_runs`'s.
"""

import asyncio
from collections.abc import Sequence
from typing import Generic

import anyio
import msgspec

from service.contracts.contract import Call
from service.core.errors import OverloadedError, ShuttingDownError
from service.core.versions import ModelVersion
from service.serving.batching.admission import Admission, QueueLimits
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batch_delay import BatchDelay
from service.serving.batching.batch_runs import BatchRuns
from service.serving.batching.body_policy import SHORT_RUN_S, BodyPolicy
from service.serving.batching.open_requests import OpenRequests
from service.serving.batching.request_queue import Answer, Caller, QueuedRequest, RequestQueue
from service.serving.batching.run import Run, W
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.telemetry.tracing.request_trace import RequestTrace
from service.workers.members import Members
from service.workers.messages import RawRequest, Timing
from service.workers.occupancy import State, Work

# To look a member of an enumeration up takes Python 3.11 half a microsecond.
_CALL = Work.CALL
_DELAY_SHARE = 1 / 2
"""The larger this share of the time in which a worker becomes free, the longer a batch may wait."""
_BATCH_SHARE = 1 / 4
"""The larger this share of all open rows, the more of them one batch has.

With more, the server process and its workers would take turns.
"""


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

    `dispatch` is to be called whenever one of `workers` may take more than before. `row_wise` is
    whether requests may be merged at all: only for a version that was shown to answer rows together
    as it answers them alone. `cost` is what is known already of what runs take.
    """

    def __init__(
        self,
        workers: Members[W],
        settings: BatchSettings,
        *,
        version: ModelVersion,
        row_wise: bool,
        cost: BatchCost | None = None,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self.row_wise = row_wise
        self.settings = settings
        self._workers = workers
        self._version = version
        self._observer = observer
        self._cost = cost or BatchCost()
        self._queue = RequestQueue()
        self._open = OpenRequests(settings.request_timeout_s)
        self._delay = BatchDelay(self.dispatch)
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = False
        self._dispatch_is_due = False
        self._runs: BatchRuns[W] = BatchRuns(self._queue, self._cost, settings.request_timeout_s)
        self._bodies = BodyPolicy(workers, self._cost)
        limits = QueueLimits(
            settings.request_timeout_s,
            settings.max_rows,
            settings.queue_rows,
            settings.queue_bytes,
        )
        self._admission = Admission(
            limits, self._queue, self._cost, self._runs.remaining_s, workers
        )

    @property
    def typical_s(self) -> float:
        """What a run typically takes; 0 before there was one."""
        return self._cost.typical_s

    @property
    def waiting(self) -> int:
        """How many requests are not yet with a worker."""
        return len(self._queue)

    @property
    def unanswered(self) -> int:
        """How many requests have no answer yet."""
        return len(self._open)

    def learn(self, timings: Sequence[Timing]) -> None:
        """Take what the model was seen to take for what it will, until requests tell."""
        now_s = asyncio.get_running_loop().time()
        for timing in timings:
            self._cost.rows.note(timing.rows, timing.ms / 1000, now_s)
        self._admission.look(row_wise=self.row_wise)

    def refusal(
        self,
        body_bytes: int,
        rows: int = 0,
        *,
        is_body: bool = False,
        deadline_s: float | None = None,
    ) -> OverloadedError | None:
        """Say why a request can't be answered in time, None where it can be let in.

        To be asked before anything is done for it, such as reading its body, whose size is known
        from its head; `rows` is 0 where they are not known, and `is_body` whether a worker is to
        decode it; `deadline_s` is the caller's own. The answer counts for this step of the event
        loop: others may come before the body has. `submit` looks again.
        """
        if deadline_s is not None:
            now_s = asyncio.get_running_loop().time()
            late = self._admission.refusal_within(
                deadline_s - now_s, rows, body_bytes, now_s, row_wise=self.row_wise, is_body=is_body
            )
            if late is not None:
                return late
        if self._admission.is_easy(rows, body_bytes) or not len(self._queue):
            # Where nothing waits: what is known of its cost may be too old.
            return None
        now_s = asyncio.get_running_loop().time()
        return self._admission.refusal(
            rows, body_bytes, now_s, row_wise=self.row_wise, is_body=is_body
        )

    async def submit(
        self,
        payload: Call | RawRequest,
        body_bytes: int = 0,
        caller: Caller | None = None,
        deadline_s: float | None = None,
        trace: RequestTrace | None = None,
    ) -> Answer:
        """Wait for the answer to a validated call, or to a body that the worker will decode.

        `body_bytes` is the size of what it came in; a `caller` that has gone is not answered, nor
        one whose `deadline_s` has passed, by the loop's time. `trace` is told what becomes of it,
        from its step QUEUE on. Raise OverloadedError where there would be no answer in time;
        DeadlineExceededError past the caller's deadline; past the request's time limit
        RequestTimeoutError where the model took most of it, else QueueTimeoutError;
        ModelFailedError, NonFinitePredictionError, ChildLostError where the request cost its worker
        twice, for a body what decoding raises, and ShuttingDownError where `run` has ended.
        """
        if self._ended:
            raise ShuttingDownError("this version has ended")
        loop = asyncio.get_running_loop()
        rows = payload.rows if isinstance(payload, Call) else 0
        if deadline_s is not None or not self._admission.is_easy(rows, body_bytes):
            is_body = isinstance(payload, RawRequest)
            refusal = self.refusal(body_bytes, rows, is_body=is_body, deadline_s=deadline_s)
            if refusal is not None:
                raise refusal
        item = QueuedRequest(payload, loop.create_future(), loop.time(), body_bytes, caller, trace)
        self._runs.has_traces |= trace is not None
        if isinstance(payload, RawRequest):
            item.cost_s = self._cost.bytes[payload.codec].predict_s(body_bytes)
        else:
            self._bodies.last_call_s = item.since
            self._delay.note_arrival(item.since)
        self._open.add(item, deadline_s)
        self._queue.add(item)
        if self._queue.call_rows >= self._enough_rows:
            # Immediately: a worker can begin while others are still read.
            self.dispatch()
        elif not self._dispatch_is_due:
            # A moment later: those that come in one step of the event loop go together.
            self._dispatch_is_due = True
            loop.call_soon(self.dispatch)
        try:
            return await item.answer
        finally:
            # A caller that goes away leaves a done future behind, and nobody else is disturbed.
            self._open.discard(item)
            if item.queued:
                self._queue.discard(item)

    async def run(self) -> None:
        """Hand batches to workers, until cancelled; requests that still wait are told so then."""
        try:
            # asyncio's, which a callback can start tasks in, too.
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    self.dispatch()
                    await anyio.sleep_forever()
                finally:
                    # Before the runs are cancelled, so that none is started in their place, and
                    # before any request is told, so that none joins those that are.
                    self._tasks = None
                    self._ended = True
        finally:
            self._delay.stop()
            self._open.close(ShuttingDownError("the service ended before this was answered"))

    def dispatch(self) -> None:
        """Hand what waits to idle workers, as far as both go; called whenever either comes.

        A call, and no task that waits for either: a lone request has no detour to its worker.
        """
        self._dispatch_is_due = False
        while self._tasks is not None and self._has_work():
            worker = self._workers.next()
            if worker is None:
                self._dispatch_behind(self._tasks)
                self._dispatch_between_chunks(self._tasks)
                return
            if not self._is_due():
                return
            if items := self._take():
                self._start(self._tasks, worker, items)

    def _dispatch_behind(self, tasks: asyncio.TaskGroup) -> None:
        """Hand whole batches to workers that still have one: they find it in their pipe."""
        queue = self._queue
        while not (queue.again or queue.bodies) and queue.call_rows >= self._enough_rows:
            is_short = self._cost.typical_s < SHORT_RUN_S
            worker = self._workers.next(State.CALL) if is_short else None
            if worker is None:
                return
            if items := self._take():
                self._start(tasks, worker, items)

    def _dispatch_between_chunks(self, tasks: asyncio.TaskGroup) -> None:
        """Hand calls to workers that answer bodies in chunks, where every worker has a body."""
        queue, workers = self._queue, self._workers
        while queue.calls and workers.bodies >= workers.count:
            worker = workers.next(State.CHUNKED_BODY)
            if worker is None or not self._is_due():
                return
            if items := queue.take_calls(self._admission.batch_rows, self._enough_rows):
                self._start(tasks, worker, items)

    def _start(self, tasks: asyncio.TaskGroup, worker: W, items: Sequence[QueuedRequest]) -> None:
        first = items[0]
        if first.is_body:
            is_chunked = self.row_wise and self._bodies.goes_chunked(first)
            work = Work.CHUNKED_BODY if is_chunked else Work.BODY
            run = Run(worker, items, work, first.cost_s)
        else:
            work = Work.RERUN if first.again else _CALL
            run = Run(worker, items, work, self._admission.long_run_s(items))
        self._workers.begin(worker, work)
        self._runs.add(run)
        tasks.create_task(self._answer(run))

    async def _answer(self, run: Run[W]) -> None:
        try:
            await self._runs.answer(run)
        finally:
            now_s = asyncio.get_running_loop().time()
            self._note_answered(run, now_s)
            self._workers.end(run.worker, run.work)
            # Now that what follows it is under way.
            began_s = now_s if run.began_s is None else run.began_s
            waited_s, took_s = began_s - run.waits_since_s, now_s - began_s
            requests = len(run.items)
            self._observer.batch_ended(self._version, requests, run.rows, waited_s, took_s)

    @property
    def _enough_rows(self) -> float:
        """From how many rows on a batch goes, and gets no more."""
        return max(self._cost.enough_rows, self._open.rows * _BATCH_SHARE)

    def _has_work(self) -> bool:
        queue = self._queue
        return bool(queue.again or queue.calls or (queue.bodies and self._bodies.may_go()))

    def _take(self) -> list[QueuedRequest]:
        """Take the next batch; none where the callers of all have gone."""
        return self._queue.take(
            max_rows=self._admission.take_rows(asyncio.get_running_loop().time()),
            enough_rows=self._enough_rows,
            merging=self.row_wise,
            bodies=self._bodies.may_go(),
        )

    def _note_answered(self, run: Run[W], now_s: float) -> None:
        """Let the next batch wait for those that were answered, if they come back soon."""
        first = run.items[0]
        if first.began_s is not None:
            self._admission.note_done(run.took_s, now_s, row_wise=self.row_wise)
        if first.is_body or first.again:
            return
        next_worker_s = self._cost.typical_s / self._workers.count
        wait_s = min(self.settings.max_wait_s, _DELAY_SHARE * next_worker_s)
        self._delay.note_answered(len(run.items), len(self._queue.calls), now_s, wait_s)

    def _is_due(self) -> bool:
        """Tell whether the next batch may go.

        The callers of the last one have a moment to come back, if that is what they do.
        """
        queue = self._queue
        alone = queue.again or not self.row_wise or (queue.bodies and self._bodies.may_go())
        enough_rows = min(self._enough_rows, self._admission.batch_rows)
        if alone or queue.call_rows >= enough_rows or self._delay.is_over(len(queue.calls)):
            self._delay.stop()
            return True
        return False
