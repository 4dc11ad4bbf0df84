"""What becomes of a worker that is handed over to something that goes away."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from service.workers.members import Members
from service.workers.occupancy import State, Work
from tests.support.fake_workers import FakeWorker, FakeWorkers

pytestmark = pytest.mark.loops("virtual")


async def use(worker: AbstractAsyncContextManager[Any]) -> None:
    """Hold a worker for ever."""
    async with worker:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("wanted", ["any", "this one"])
async def test_a_worker_handed_over_to_what_is_cancelled_then_is_free(wanted: str) -> None:
    """In the same step of the event loop, before that could notice."""
    workers = FakeWorkers()
    members: Members[FakeWorker] = workers.members
    (worker,) = members
    members.begin(worker, Work.CALL)
    holding = members.acquire() if wanted == "any" else members.hold(worker)
    waiting = asyncio.create_task(use(holding))
    await asyncio.sleep(0)
    assert members.next(State.CALL) is None
    members.end(worker, Work.CALL)
    assert worker.occupancy.state is State.HELD
    waiting.cancel()
    await asyncio.wait([waiting])
    assert members.next() is worker


@pytest.mark.parametrize("wanted", ["any", "this one"])
async def test_what_waits_no_longer_leaves_room_for_a_second_call(wanted: str) -> None:
    """And the queue is told so."""
    workers, woken = FakeWorkers(), list[None]()
    members: Members[FakeWorker] = workers.members
    workers.on_free = lambda: woken.append(None)
    (worker,) = members
    members.begin(worker, Work.CALL)
    holding = members.acquire() if wanted == "any" else members.hold(worker)
    waiting = asyncio.create_task(use(holding))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert woken == [None]
    assert members.next(State.CALL) is worker
