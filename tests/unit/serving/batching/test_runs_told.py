"""What an observer is told of runs, and that a lost one's requests go to another worker."""

import asyncio

import pytest

from service.core.versions import ModelVersion
from service.telemetry.observer import NullObserver
from service.workers.messages import RawRequest
from tests.support.batchers import VERSION, now, outcome, outcomes, running, until
from tests.support.fake_workers import RAISING, FakeWorkers, a_call

pytestmark = pytest.mark.loops("virtual")


class Batches(NullObserver):
    """Keeps what it is told of batches: requests, rows, how long they waited, how long it took."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, int, float, float]] = []

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Keep it."""
        assert version == VERSION
        self.ended.append((requests, rows, round(waited_s, 4), round(duration_s, 4)))


async def test_each_batch_is_told_with_its_rows_its_wait_and_its_time() -> None:
    """A body has no rows; what had to wait for a worker waited since it came."""
    workers, seen = FakeWorkers(takes_s=0.1), Batches()
    async with running(workers, observer=seen) as batcher:
        await outcomes(batcher, a_call(1, 2), a_call(3))
        assert seen.ended == [(2, 3, 0.0, 0.1)]
        with workers.held():
            body = asyncio.create_task(outcome(batcher, RawRequest(body=b"body")))
            await asyncio.sleep(0.2)
        await body
    (told,) = seen.ended[1:]
    assert told[:3] == (1, 0, 0.2)


async def test_a_batch_that_fails_is_told_as_are_the_runs_that_follow() -> None:
    """Each of these waited since the batch failed, not since it came."""
    workers, seen = FakeWorkers(takes_s=0.1), Batches()
    async with running(workers, observer=seen) as batcher:
        await outcomes(batcher, a_call(1), a_call(RAISING))
    assert seen.ended == [(2, 2, 0.0, 0.1), (1, 1, 0.0, 0.1), (1, 1, 0.1, 0.1)]


async def test_what_a_lost_worker_had_goes_to_another_one_immediately() -> None:
    """It does not wait until the lost one is replaced."""
    workers = FakeWorkers(2, takes_s=0.01, reload_s=10.0)
    async with running(workers) as batcher:
        began_s = now()
        asked = asyncio.create_task(outcomes(batcher, a_call(1), a_call(2)))
        await until(lambda: bool(workers.seen))
        busy = next(one for one in workers.members if one is not workers.members.next())
        busy.kill()
        assert await asked == [[1.5], [2.5]]
        assert now() - began_s < 1.0
    assert workers.lost == 1
