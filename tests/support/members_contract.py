"""What the batcher relies on in the workers that it is given, real ones or fakes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel

from service.core.errors import ChildLostError
from service.serving.batching.run import BatchWorker
from service.workers.members import Members
from service.workers.occupancy import State, Work
from tests.support.fake_workers import a_call
from tests.support.waiting import until

LIMIT_S = 30.0
Woken = Callable[[], int]
"""How often it was told that a worker may take more."""


class MembersContract(ABC):
    """Tests of two workers, of which each answers a row."""

    @abstractmethod
    def hosted(self) -> AbstractAsyncContextManager[tuple[Members[Any], Woken]]:
        """Host them."""

    async def test_each_worker_is_given_once_until_it_is_free(self) -> None:
        """The one that has been idle for longest comes first."""
        async with self.hosted() as (members, woken):
            first, second = take(members), take(members)
            assert first is not second
            assert members.next() is None
            before = woken()
            await answer(members, second)
            assert woken() > before
            await answer(members, first)
            assert take(members) is second

    async def test_a_worker_takes_two_calls_and_answers_both(self) -> None:
        """A third is not offered; after the first one's end there is room for another."""
        async with self.hosted() as (members, woken):
            workers = [take(members), take(members)]
            worker = members.next(State.CALL)
            assert worker in workers
            members.begin(worker, Work.CALL)
            assert members.next(State.CALL) is not worker
            before = woken()
            async with anyio.create_task_group() as calls:
                calls.start_soon(answer, members, worker)
                calls.start_soon(answer, members, worker)
            assert woken() == before + 2
            assert members.next() is worker

    async def test_what_waits_for_a_worker_comes_before_the_queue(self) -> None:
        """No second call is offered then, and the worker is handed over without a word."""
        async with self.hosted() as (members, woken), anyio.create_task_group() as tasks:
            first, second = take(members), take(members)
            got: list[BatchWorker] = []
            go_on = anyio.Event()

            async def hold_any() -> None:
                async with members.acquire() as worker:
                    got.append(worker)
                    await go_on.wait()

            async def hold_first() -> None:
                async with members.hold(first) as held:
                    assert held
                    got.append(first)
                    await go_on.wait()

            tasks.start_soon(hold_first)
            await _settle()
            assert members.next(State.CALL) is second
            tasks.start_soon(hold_any)
            await _settle()
            assert members.next(State.CALL) is None
            before = woken()
            await answer(members, first)
            await answer(members, second)
            await _settle()
            assert (got, woken()) == ([first, second], before)
            assert members.next() is None
            go_on.set()

    async def test_a_worker_that_is_lost_is_replaced(self) -> None:
        """It is offered no more, and its end is told: another one may take what it had."""
        async with self.hosted() as (members, woken):
            lost = take(members)
            lost.kill()
            before = woken()
            assert members.next(State.CALL) is None
            try:
                await lost.predict(a_call(1.0), LIMIT_S)
            except ChildLostError:
                members.end(lost, Work.CALL)
            assert woken() > before
            await until(lambda: lost not in members and len(members) == members.count, LIMIT_S)
            await until(lambda: all(one.is_alive for one in members), LIMIT_S)
            async with members.hold(lost) as held:
                assert not held


async def _settle() -> None:
    """Let what was woken take its steps."""
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


def take(members: Members[Any]) -> Any:
    """Give a call to an idle worker."""
    worker = members.next()
    assert worker is not None
    members.begin(worker, Work.CALL)
    return worker


async def answer(members: Members[Any], worker: Any) -> None:
    """Have a worker answer a call that it was given."""
    assert (await worker.predict(a_call(1.0), LIMIT_S)).rows == 1
    members.end(worker, Work.CALL)
