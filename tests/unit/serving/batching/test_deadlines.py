"""A caller's own deadline in the batcher: what it ends, what is refused for it, what it leaves."""

import asyncio

import anyio
import pytest

from service.contracts.contract import Call
from service.core.errors import (
    DeadlineExceededError,
    OverloadedError,
    QueueTimeoutError,
    RequestTimeoutError,
    ServiceError,
)
from service.serving.batching.batcher import Batcher
from service.workers.messages import RawRequest
from tests.support.batchers import LIMIT_S, now, outcome, running, until
from tests.support.fake_workers import HANGING, FakeWorker, FakeWorkers, a_call, answers_in

pytestmark = pytest.mark.loops("virtual")


async def within(
    batcher: Batcher[FakeWorker], payload: Call | RawRequest, limit_s: float
) -> list[float] | ServiceError:
    """Return the answers to a request whose caller waits for so long, or its error."""
    try:
        return answers_in(await batcher.submit(payload, 10, deadline_s=now() + limit_s))
    except ServiceError as error:
        return error


async def test_what_its_caller_waits_for_no_longer_is_not_computed() -> None:
    """It is told so at its deadline, while it waits for a worker; the one beside it is answered."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        with workers.held():
            beside = asyncio.create_task(outcome(batcher, a_call(1)))
            await until(lambda: batcher.waiting == 1)
            began = now()
            assert isinstance(await within(batcher, a_call(2), 0.5), DeadlineExceededError)
            assert now() - began == pytest.approx(0.5, abs=0.01)
            assert batcher.waiting == 1
        assert await beside == [1.5]
    assert workers.seen == [[1.0]]


async def test_a_deadline_under_way_ends_the_wait_and_not_the_worker() -> None:
    """The worker goes on, and answers those that share its batch."""
    workers = FakeWorkers(takes_s=1.0)
    async with running(workers) as batcher:
        with workers.held():
            patient = asyncio.create_task(outcome(batcher, a_call(1)))
            hasty = asyncio.create_task(within(batcher, a_call(2), 0.5))
            await until(lambda: batcher.waiting == 2)
        assert isinstance(await hasty, DeadlineExceededError)
        assert await patient == [1.5]
    assert (workers.seen, workers.lost) == ([[1.0, 2.0]], 0)


async def test_the_smaller_of_both_limits_counts() -> None:
    """Past REQUEST_TIMEOUT_S it is what it is without a deadline, and no timer is left behind."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        with workers.held():
            began = now()
            late = await within(batcher, a_call(1), 2 * LIMIT_S)
            assert isinstance(late, QueueTimeoutError)
            assert now() - began == pytest.approx(LIMIT_S, abs=0.01)
        hung = await within(batcher, a_call(HANGING), 2 * LIMIT_S)
        assert isinstance(hung, RequestTimeoutError)


async def test_an_answer_in_time_cancels_its_deadline() -> None:
    """Nothing comes later."""
    async with running(FakeWorkers()) as batcher:
        assert await within(batcher, a_call(1), 0.5) == [1.5]
        await anyio.sleep(1.0)
        assert batcher.unanswered == 0


async def test_a_deadline_that_cant_be_met_is_refused_before_it_costs_anything() -> None:
    """By what runs have cost, with a worker that is free; others are let in as before."""
    workers = FakeWorkers(takes_s=0.2)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        began = now()
        refused = await within(batcher, a_call(2), 0.1)
        assert isinstance(refused, OverloadedError)
        assert "its caller waits 0.1 s" in str(refused)
        assert isinstance(batcher.refusal(10, deadline_s=now() + 0.1), OverloadedError)
        assert now() == began
        assert await within(batcher, a_call(3), 0.3) == [3.5]
        assert batcher.refusal(10) is None
    assert workers.seen == [[1.0], [3.0]]


async def test_a_refusal_for_a_deadline_is_no_overload() -> None:
    """However many there are: a queue as long as before is allowed for others."""
    workers = FakeWorkers(takes_s=0.2)
    async with running(workers, row_wise=False) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        waiting = []
        for _ in range(100):
            # So many wait that they fit REQUEST_TIMEOUT_S, and not a quarter of it.
            waiting.append(asyncio.create_task(outcome(batcher, a_call(2))))
            assert isinstance(await within(batcher, a_call(3), 0.01), OverloadedError)
        assert [await task for task in waiting] == [[2.5]] * 100


async def test_what_was_seen_long_ago_refuses_nothing() -> None:
    """The model may be faster by now: one request goes to it, and tells."""
    workers = FakeWorkers(takes_s=0.2)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        workers.takes_s = 0.01
        assert isinstance(await within(batcher, a_call(2), 0.1), OverloadedError)
        await anyio.sleep(2.0)
        assert await within(batcher, a_call(3), 0.1) == [3.5]


async def test_a_body_has_a_deadline_too() -> None:
    """By what bodies of its size took."""
    workers = FakeWorkers(takes_s=0.2)
    async with running(workers, row_wise=False) as batcher:
        await outcome(batcher, RawRequest(body=b"large"))
        refused = await within(batcher, RawRequest(body=b"large"), 0.1)
        assert isinstance(refused, OverloadedError)
    assert workers.bodies == [b"large"]
