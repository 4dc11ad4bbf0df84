"""The workers of a version in any order of events: none has more than it may, none is forgotten."""

import asyncio
from collections import Counter

import anyio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from service.workers.members import Members
from service.workers.occupancy import MOST_CALLS, Occupancy, State, Work
from tests.support.virtual_time import VirtualTimeLoop

QUEUED = (Work.CALL, Work.RERUN, Work.BODY, Work.CHUNKED_BODY, Work.PING)
COUNT = 2


class Plain:
    """A worker that only is alive, or not; `begun` is what it was really given."""

    def __init__(self) -> None:
        self.occupancy = Occupancy()
        self.is_alive = True
        self.begun = Counter([Work.HOLD])


class Waiting:
    """Something that waits for a worker, any or this one, and keeps it until it is told."""

    def __init__(self, members: Members[Plain], wanted: Plain | None) -> None:
        self.wanted = wanted
        self.got: Plain | None = None
        self.gone = False
        self.go_on = anyio.Event()
        self._members = members

    async def run(self) -> None:
        """Wait, hold, and let go."""
        if self.wanted is None:
            async with self._members.acquire() as worker:
                await self._keep(worker)
            return
        async with self._members.hold(self.wanted) as held:
            if held:
                await self._keep(self.wanted)
            self.gone = not held

    async def _keep(self, worker: Plain) -> None:
        self.got = worker
        worker.begun[Work.HOLD] += 1
        try:
            await self.go_on.wait()
        finally:
            worker.begun[Work.HOLD] -= 1


class MembersMachine(RuleBasedStateMachine):
    """Workers come, are given work, are waited for, and are lost."""

    workers = Bundle("workers")
    given = Bundle("given")
    waiters = Bundle("waiters")

    def __init__(self) -> None:
        super().__init__()
        self.freed = 0
        self.members: Members[Plain] = Members(COUNT, self._note_free)
        self.known: list[Plain] = []
        self.waiting: dict[Waiting, asyncio.Task[None]] = {}
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)

    def _note_free(self) -> None:
        self.freed += 1

    def teardown(self) -> None:
        """Leave no task."""

        async def end() -> None:
            for task in self.waiting.values():
                task.cancel()
            await asyncio.gather(*self.waiting.values(), return_exceptions=True)

        self.runner.run(end())
        self.runner.close()

    def _settle(self) -> None:
        """Let all that was woken take its steps."""

        async def steps() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(steps())

    @precondition(lambda self: len(self.members) < COUNT)
    @rule(target=workers)
    def come(self) -> Plain:
        """Count a worker in, and release it."""
        worker = Plain()
        self.members.add(worker)
        self.known.append(worker)
        worker.begun.clear()
        self.members.end(worker, Work.HOLD)
        self._settle()
        return worker

    @rule(
        target=given,
        work=st.sampled_from(QUEUED),
        state=st.sampled_from([State.IDLE, State.CALL, State.CHUNKED_BODY]),
    )
    def give(self, work: Work, state: State) -> object:
        """Give work to a worker that may take a call, as the batcher does."""
        worker = self.members.next(state)
        if worker is None:
            return multiple()
        assert worker.is_alive
        if not worker.occupancy.may_take(work):
            assert state is not State.IDLE
            return multiple()
        self.members.begin(worker, work)
        worker.begun[work] += 1
        return worker, work

    @rule(one=consumes(given))
    def end(self, one: tuple[Plain, Work]) -> None:
        """Be done with it: something else may have the worker now, which is told."""
        worker, work = one
        freed, waited = self.freed, bool(worker.occupancy.waiting) or self._any_waits()
        self.members.end(worker, work)
        worker.begun[work] -= 1
        assert self.freed == freed + 1 or waited
        self._settle()

    @rule(one=consumes(given), waiting=consumes(waiters))
    def end_as_what_waits_goes(self, one: tuple[Plain, Work], waiting: Waiting) -> None:
        """Hand a worker over to something that is cancelled before it notices."""
        worker, work = one
        self.members.end(worker, work)
        worker.begun[work] -= 1
        self._cancel(waiting)

    @rule(worker=st.none() | workers, target=waiters)
    def wait(self, worker: Plain | None) -> Waiting:
        """Wait for any worker, or for one of them, which may be gone."""
        waiting = Waiting(self.members, worker)

        async def start() -> None:
            self.waiting[waiting] = asyncio.create_task(waiting.run())

        self.runner.run(start())
        self._settle()
        return waiting

    @rule(waiting=consumes(waiters), after=st.booleans())
    def stop_waiting(self, waiting: Waiting, *, after: bool) -> None:
        """Let go of the worker, or be cancelled: before or after it was handed over."""
        waiting.go_on.set()
        if after:
            self._settle()
        self._cancel(waiting)

    def _cancel(self, waiting: Waiting) -> None:
        task = self.waiting.pop(waiting)
        task.cancel()
        self._settle()
        assert task.done()

    @rule(worker=workers)
    def lose(self, worker: Plain) -> None:
        """Lose a worker, whatever it has, or learn it a second time."""
        worker.is_alive = False
        self.members.remove(worker)
        self._settle()

    @precondition(lambda self: self.known)
    @invariant()
    def none_has_more_than_it_may(self) -> None:
        """Two calls, or a call between chunks; the rest alone."""
        for worker in self.known:
            begun = +worker.begun
            assert begun[Work.CALL] <= MOST_CALLS
            if set(begun) - {Work.CALL}:
                assert begun.total() <= 1 + (begun[Work.CHUNKED_BODY] and begun[Work.CALL])
            assert (worker.occupancy.state is State.IDLE) == (not begun)
        bodies = sum(one.begun[Work.BODY] + one.begun[Work.CHUNKED_BODY] for one in self.known)
        assert self.members.bodies == bodies

    @invariant()
    def nothing_waits_beside_an_idle_worker(self) -> None:
        """And what waits for a worker that is gone is told so."""
        idle = [one for one in self.members if one.occupancy.state is State.IDLE]
        assert not (idle and self._any_waits())
        for waiting in self.waiting:
            if waiting.wanted is not None and waiting.got is None and not waiting.gone:
                assert waiting.wanted in self.members
                assert waiting.wanted not in idle

    @invariant()
    def nothing_is_given_to_a_worker_that_is_waited_for(self) -> None:
        """Not even a second call."""
        for state in (State.IDLE, State.CALL, State.CHUNKED_BODY):
            worker = self.members.next(state)
            if worker is not None:
                assert not self._any_waits()
                assert all(one.wanted is not worker or one.got for one in self.waiting)

    def _any_waits(self) -> bool:
        return any(one.wanted is None and one.got is None for one in self.waiting)


MembersMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestMembers = MembersMachine.TestCase
