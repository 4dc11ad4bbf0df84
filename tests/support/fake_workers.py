"""BatchWorkers without processes: each row says what it does to the model that reads it.

A row is a double. A positive one is answered by itself plus 0.5; RAISING, KILLING and HANGING
raise, lose the worker and never answer, whoever shares their batch.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio

from service.contracts.contract import Call, Predictions
from service.core.errors import ChildLostError, ChildTimeoutError, ModelFailedError
from service.processes.child import MOST_CALLS
from service.serving.batching.request_queue import Share
from service.workers.messages import RawReply, RawRequest

RAISING = -1.0
KILLING = -2.0
HANGING = -3.0
NAN_ROW = -4.0
"""Answered, by what is no number."""
KILLING_BODY = b"killing"
STEPS = 10
"""Of a body that is answered in steps; each takes as long as a call."""


def a_call(*rows: float, params: dict[str, Any] | None = None) -> Call:
    """Return a request for these rows."""
    return Call(len(rows), [struct.pack(f"<{len(rows)}d", *rows)], params)


def rows_of(call: Call) -> list[float]:
    """Return a request's rows."""
    column = call.columns[0]
    assert isinstance(column, bytes)
    return [row for (row,) in struct.iter_unpack("<d", column)]


def answers_in(share: object) -> list[float]:
    """Return the answers in a request's share of a batch."""
    assert isinstance(share, Share)
    column = share.predictions.columns[0]
    assert isinstance(column, list)
    return column[share.start : share.stop]


def right_answers(rows: Sequence[float]) -> list[float]:
    """Return what the model says to good rows."""
    return [row + 0.5 for row in rows]


class FakeWorker:
    """One worker; `seen` has the rows of each call that it was given."""

    def __init__(self, workers: "FakeWorkers") -> None:
        self._workers = workers
        self._killed = asyncio.Event()
        self._turn = asyncio.Lock()
        self.lost = False
        self.calls = 0

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Do what the rows say."""
        rows = rows_of(call)
        async with self._one_after_the_other():
            self._workers.seen.append(rows)
            self._workers.params.append(call.params)
            if KILLING in rows:
                self._end()
                raise ChildLostError("the worker ended")
            took_s = await self._work(len(rows), timeout_s, hang=HANGING in rows)
        if RAISING in rows:
            raise ModelFailedError("the model raised")
        non_finite = [index for index, row in enumerate(rows) if row == NAN_ROW]
        return Predictions(len(rows), ["y"], [right_answers(rows)], [""], [[]], non_finite, took_s)

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Answer a body by itself; in steps, calls come between these. KILLING_BODY ends it."""
        if request.chunked:
            await self._answer_chunked(request.body, timeout_s)
        else:
            async with self._one_after_the_other():
                self._workers.bodies.append(request.body)
                self._die_of(request.body)
                await self._work(1, timeout_s, hang=False)
        return RawReply(1, request.body, 0 if request.body == b"nan" else None)

    async def ping(self, timeout_s: float) -> None:
        """Answer, unless it is lost."""
        del timeout_s
        if self.lost:
            raise ChildLostError("the worker ended")

    def kill(self) -> None:
        """End it, and the calls that are under way."""
        self._killed.set()

    async def _answer_chunked(self, body: bytes, timeout_s: float) -> None:
        """Hold the worker for a step at a time."""
        self._workers.bodies.append(body)
        self._workers.chunked.append(body)
        try:
            for _ in range(STEPS):
                async with self._turn:
                    if self.lost:
                        raise ChildLostError("the worker ended")
                    self._die_of(body)
                    await self._work(1, timeout_s, hang=False)
        except asyncio.CancelledError:
            self._end()
            raise

    def _die_of(self, body: bytes) -> None:
        if body == KILLING_BODY:
            self._end()
            raise ChildLostError("the worker ended")

    def _end(self) -> None:
        """Be lost, and have whoever else waits know."""
        self.lost = True
        self._killed.set()

    @asynccontextmanager
    async def _one_after_the_other(self) -> AsyncIterator[None]:
        """Let a second call begin when the first has ended; it is lost with the worker."""
        self.calls += 1
        self._workers.most_calls = max(self._workers.most_calls, self.calls)
        assert self.calls <= MOST_CALLS, f"a worker takes {MOST_CALLS} calls at a time"
        try:
            async with self._turn:
                if self.lost:
                    raise ChildLostError("the worker ended")
                yield
        except asyncio.CancelledError:
            self._end()  # as a child whose call is cancelled
            raise
        finally:
            self.calls -= 1

    async def _work(self, rows: int, timeout_s: float, *, hang: bool) -> float:
        """Take the time that the model takes, and return it, unless it is too long or ended."""
        takes_s = float("inf") if hang else self._workers.takes_s + self._workers.row_s * rows
        with anyio.move_on_after(min(takes_s, timeout_s)):
            await self._killed.wait()
            self.lost = True
            raise ChildLostError("the worker was ended")
        if takes_s > timeout_s:
            self._end()
            raise ChildTimeoutError(f"no answer within {timeout_s:g} s")
        return takes_s


class FakeWorkers:
    """A pool of `count` of them; a lost one is replaced after `reload_s`.

    A call takes `takes_s`, and `row_s` for each of its rows.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        takes_s: float = 0.01,
        row_s: float = 0.0,
        reload_s: float = 0.05,
    ) -> None:
        self.takes_s = takes_s
        self.row_s = row_s
        self.wanted = False
        """Whether someone else waits for a worker."""
        self._reload_s = reload_s
        self._count = count
        self._idle = [FakeWorker(self) for _ in range(count)]
        self._on_idle: Callable[[], None] = lambda: None
        self.seen: list[list[float]] = []
        """The rows of each call."""
        self.params: list[dict[str, Any] | None] = []
        """The params of each call."""
        self.bodies: list[bytes] = []
        self.chunked: list[bytes] = []
        """The bodies that were answered in steps."""
        self.lost = 0
        self.most_calls = 0
        """How many one of them had at once."""

    @property
    def count(self) -> int:
        """How many workers there are to be."""
        return self._count

    def take_idle(self) -> FakeWorker | None:
        """Hold an idle worker."""
        return self._idle.pop(0) if self._idle else None

    def give_back(self, worker: FakeWorker) -> None:
        """Let go of a worker; a lost one is replaced."""
        if worker.lost:
            self.lost += 1
            loop = asyncio.get_running_loop()
            loop.call_later(self._reload_s, self._put_idle, FakeWorker(self))
        else:
            self._put_idle(worker)

    def may_follow(self, worker: FakeWorker) -> bool:
        """Allow a second call where the worker lives."""
        return not (worker.lost or self.wanted)

    @contextmanager
    def held(self) -> Iterator[FakeWorker]:
        """Keep an idle worker from the batcher meanwhile."""
        worker = self.take_idle()
        assert worker is not None
        try:
            yield worker
        finally:
            self.give_back(worker)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back whenever a worker became idle."""
        self._on_idle = callback

    def _put_idle(self, worker: FakeWorker) -> None:
        self._idle.append(worker)
        self._on_idle()
