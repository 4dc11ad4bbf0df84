"""Workers without processes: each row says what it does to the model that reads it.

A row is a double. A positive one is answered by itself plus 0.5; RAISING, KILLING and HANGING
raise, lose the worker and never answer, whatever shares their batch.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio

from service.contracts.contract import Call, Predictions
from service.core.errors import ChildLostError, ChildTimeoutError, ModelFailedError
from service.serving.batching.request_queue import Share
from service.workers.members import Members
from service.workers.messages import RawReply, RawRequest
from service.workers.occupancy import MOST_CALLS, Occupancy, Work

RAISING = -1.0
KILLING = -2.0
HANGING = -3.0
NAN_ROW = -4.0
"""Answered, by what is no number."""
KILLING_BODY = b"killing"
CHUNKS = 10
"""A chunked body has so many, each of which takes as long as a call."""


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
    """One worker; `workers` keeps what each call was, and replaces it when it is lost."""

    def __init__(self, workers: "FakeWorkers") -> None:
        self.occupancy = Occupancy()
        self._workers = workers
        self._killed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._has_ended = False
        self._calls = 0

    @property
    def is_alive(self) -> bool:
        """Whether it is not known to have ended."""
        return not self._killed.is_set()

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Do what the rows say."""
        rows = rows_of(call)
        async with self._one_after_the_other():
            self._workers.seen.append(rows)
            self._workers.params.append(call.params)
            self._workers.calls.append(call)
            if KILLING in rows:
                raise self._lost()
            took_s = await self._work(len(rows), timeout_s, hang=HANGING in rows)
        if RAISING in rows:
            raise ModelFailedError("the model raised")
        non_finite = [index for index, row in enumerate(rows) if row == NAN_ROW]
        return Predictions(len(rows), ["y"], [right_answers(rows)], [""], [[]], non_finite, took_s)

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Answer a body by itself; in chunks, calls come between these. KILLING_BODY ends it."""
        if request.chunked:
            await self._answer_chunked(request.body, timeout_s)
        else:
            async with self._one_after_the_other():
                self._workers.bodies.append(request.body)
                self._die_of(request.body)
                await self._work(1, timeout_s, hang=False)
        return RawReply(1, request.body, 0 if request.body == b"nan" else None)

    async def ping(self, timeout_s: float) -> None:
        """Answer, unless it has ended."""
        del timeout_s
        if self._has_ended:
            raise self._lost()

    def kill(self) -> None:
        """End it, and the calls that are under way."""
        self._killed.set()
        asyncio.get_running_loop().call_soon(self._lost)

    def vanish(self) -> None:
        """End it, which shows when it is asked for something the next time."""
        self._has_ended = True

    async def _answer_chunked(self, body: bytes, timeout_s: float) -> None:
        """Hold the worker for a chunk at a time."""
        self._workers.bodies.append(body)
        self._workers.chunked.append(body)
        try:
            for _ in range(CHUNKS):
                async with self._turn:
                    if self._has_ended:
                        raise self._lost()
                    self._die_of(body)
                    await self._work(1, timeout_s, hang=False)
        except asyncio.CancelledError:
            self._lost()
            raise

    def _die_of(self, body: bytes) -> None:
        if body == KILLING_BODY:
            raise self._lost()

    def _lost(self) -> ChildLostError:
        """Be lost, as everything that waits for it learns, and return what its callers get."""
        self._has_ended = True
        self._killed.set()
        self._workers.replace(self)
        return ChildLostError("the worker ended")

    @asynccontextmanager
    async def _one_after_the_other(self) -> AsyncIterator[None]:
        """Let a second call begin when the first has ended; it is lost with the worker."""
        self._calls += 1
        self._workers.most_calls = max(self._workers.most_calls, self._calls)
        assert self._calls <= MOST_CALLS, f"a worker takes {MOST_CALLS} calls at a time"
        try:
            async with self._turn:
                if self._has_ended:
                    raise self._lost()
                yield
        except asyncio.CancelledError:
            self._lost()  # as a child whose call is cancelled
            raise
        finally:
            self._calls -= 1

    async def _work(self, rows: int, timeout_s: float, *, hang: bool) -> float:
        """Take the time that the model takes, and return it, unless it is too long or ended."""
        takes_s = float("inf") if hang else self._workers.takes_s + self._workers.row_s * rows
        with anyio.move_on_after(min(takes_s, timeout_s)):
            await self._killed.wait()
            raise self._lost()
        if takes_s > timeout_s:
            self._lost()
            raise ChildTimeoutError(f"no answer within {timeout_s:g} s")
        return takes_s


class FakeWorkers:
    """`count` workers without processes; a lost one is replaced after `reload_s`.

    A call takes `takes_s`, and `row_s` for each of its rows. `make` makes a worker. `on_free` is
    what `members` call; a batcher's `dispatch` takes its place. What they have in flight is counted
    by the real `Members`.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        takes_s: float = 0.01,
        row_s: float = 0.0,
        reload_s: float = 0.05,
        make: Callable[["FakeWorkers"], FakeWorker] = FakeWorker,
    ) -> None:
        self.takes_s = takes_s
        self.row_s = row_s
        self.on_free: Callable[[], None] = lambda: None
        self.members: Members[FakeWorker] = Members(count, self._note_free)
        self._reload_s = reload_s
        self._make = make
        self.seen: list[list[float]] = []
        self.calls: list[Call] = []
        """The rows of each call."""
        self.params: list[dict[str, Any] | None] = []
        """The params of each call."""
        self.bodies: list[bytes] = []
        self.chunked: list[bytes] = []
        """The bodies that were answered in chunks."""
        self.lost = 0
        self.most_calls = 0
        """How many one of them had together."""
        for _ in range(count):
            self._load()

    @contextmanager
    def held(self) -> Iterator[FakeWorker]:
        """Keep an idle worker from the batcher meanwhile."""
        worker = self.members.next()
        assert worker is not None
        self.members.begin(worker, Work.HOLD)
        try:
            yield worker
        finally:
            self.members.end(worker, Work.HOLD)

    def _note_free(self) -> None:
        self.on_free()

    def replace(self, worker: FakeWorker) -> None:
        """Have another one soon in the place of a worker that is lost."""
        if worker in self.members:
            self.lost += 1
            self.members.remove(worker)
            asyncio.get_running_loop().call_later(self._reload_s, self._load)

    def _load(self) -> None:
        worker = self._make(self)
        self.members.add(worker)
        self.members.end(worker, Work.HOLD)
