"""The workers that have loaded a version, and which of them gets what comes next."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from service.workers.occupancy import BODIES, Occupancy, State, Work


class Member(Protocol):
    """What is known of a worker here; `workers.handle.WorkerHandle` is the real one."""

    @property
    def occupancy(self) -> Occupancy:
        """What it has in flight."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it can be called; it may be busy, or hang."""
        ...


# To look a member of an enumeration up takes Python 3.11 half a microsecond.
_IDLE, _CALL = State.IDLE, Work.CALL

M = TypeVar("M", bound=Member)
T = TypeVar("T")


class Members(Generic[M]):
    """The workers of a version. The queue of requests gets what nothing else waits for.

    There are to be `count`. `on_free` is called whenever one of them may take more than before.
    """

    def __init__(self, count: int, on_free: Callable[[], None]) -> None:
        self.count = count
        self.bodies = 0
        """How many bodies are being answered."""
        self._on_free = on_free
        self._workers: dict[M, None] = {}
        """The one that has been idle for longest comes first."""
        self._waiting: deque[asyncio.Future[M]] = deque()
        """Those that wait for any worker; they come before the queue."""

    def __iter__(self) -> Iterator[M]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)

    def add(self, worker: M) -> None:
        """Count a worker in. It is held as it comes: `end` that once it may be given calls."""
        self._workers[worker] = None

    def remove(self, worker: M) -> None:
        """Count a worker out that is lost, and tell those that wait for it."""
        self._workers.pop(worker, None)
        waiting = worker.occupancy.waiting
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(False)

    def next(self, state: State = _IDLE) -> M | None:
        """Return a worker in this state that may be given a call; None where there is none."""
        if self._waiting:
            return None
        for worker in self._workers:
            occupancy = worker.occupancy
            if occupancy.state is state and occupancy.may_take(_CALL) and worker.is_alive:
                return worker
        return None

    def begin(self, worker: M, work: Work) -> None:
        """Count what a worker is given; `end` is to follow. Raise RuntimeError if it may not."""
        worker.occupancy.begin(work)
        if work in BODIES:
            self.bodies += 1

    def end(self, worker: M, work: Work) -> None:
        """Count what a worker is done with, and hand it on: to what waits for it, or for any."""
        occupancy, workers = worker.occupancy, self._workers
        occupancy.end(work)
        if work in BODIES:
            self.bodies -= 1
        if occupancy.state is _IDLE and worker in workers and worker.is_alive:
            if (occupancy.waiting or self._waiting) and self._hand_over(worker):
                return
            if len(workers) > 1:
                del workers[worker]
                workers[worker] = None
        # Also where it is lost: what it had may be run again, by another one that is idle.
        self._on_free()

    def _hand_over(self, worker: M) -> bool:
        """Hold a worker for what waits for it alone, else for what waits for any."""
        occupancy = worker.occupancy
        while occupancy.waiting:
            turn = occupancy.waiting.popleft()
            if not turn.done():
                occupancy.begin(Work.HOLD)
                turn.set_result(True)
                return True
        while self._waiting:
            wanted = self._waiting.popleft()
            if not wanted.done():
                occupancy.begin(Work.HOLD)
                wanted.set_result(worker)
                return True
        return False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[M]:
        """Wait for any idle worker and hold it; those that wait here come before the queue."""
        worker = self.next()
        if worker is None:
            worker = await self._any()
        else:
            self.begin(worker, Work.HOLD)
        try:
            yield worker
        finally:
            self.end(worker, Work.HOLD)

    @asynccontextmanager
    async def hold(self, worker: M) -> AsyncIterator[bool]:
        """Hold this worker, once its calls are over; tells whether it can still be called.

        Those that wait here come before those that wait for any worker.
        """
        if not await self._turn(worker):
            yield False
            return
        try:
            yield worker.is_alive
        finally:
            self.end(worker, Work.HOLD)

    async def _any(self) -> M:
        wanted: asyncio.Future[M] = asyncio.get_running_loop().create_future()
        self._waiting.append(wanted)
        try:
            return await wanted
        except asyncio.CancelledError:
            if wanted.done() and not wanted.cancelled():
                self.end(wanted.result(), Work.HOLD)
            else:
                _withdraw(self._waiting, wanted)
                self._on_free()
            raise

    async def _turn(self, worker: M) -> bool:
        if worker not in self._workers:
            return False
        occupancy = worker.occupancy
        if occupancy.may_take(Work.HOLD):
            self.begin(worker, Work.HOLD)
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        occupancy.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                if turn.result():
                    self.end(worker, Work.HOLD)
            else:
                _withdraw(occupancy.waiting, turn)
                self._on_free()
            raise


def _withdraw(waiting: deque[T], one: T) -> None:
    """Let one wait no longer. It may have been passed over already, as it was cancelled."""
    if one in waiting:
        waiting.remove(one)
