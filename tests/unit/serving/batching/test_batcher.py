import asyncio
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    RequestTimeoutError,
    ServiceError,
)
from tests.support.batchers import (
    ENOUGH,
    WAIT_S,
    a_moment_later,
    again_and_again,
    hold_for_a_moment,
    learn,
    now,
    of_cheap_calls,
    one_by_one,
    outcome,
    outcomes,
    running,
    until,
)
from tests.support.fake_workers import (
    HANGING,
    KILLING,
    RAISING,
    FakeWorkers,
    a_call,
    right_answers,
)

pytestmark = pytest.mark.loops("virtual")


async def test_a_lone_request_never_waits() -> None:
    """It takes as long as the model does, however long a batch may gather."""
    async with running(FakeWorkers(takes_s=0.01)) as batcher:
        for _ in range(3):
            began = now()
            assert await outcome(batcher, a_call(1.0)) == [1.5]
            assert now() - began == pytest.approx(0.01)


async def test_requests_gather_while_the_workers_are_busy() -> None:
    """What comes during a call is answered together by the next one."""
    workers = FakeWorkers()
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        callers.start_soon(outcome, batcher, a_call(1.0))
        await until(lambda: bool(workers.seen))
        assert await outcomes(batcher, a_call(2.0), a_call(3.0, 4.0)) == [[2.5], [3.5, 4.5]]
        assert workers.seen == [[1.0], [2.0, 3.0, 4.0]]


async def test_each_of_two_workers_has_a_call_of_its_own() -> None:
    """A second request goes to the second worker immediately."""
    workers = FakeWorkers(2)
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        began = now()
        callers.start_soon(outcome, batcher, a_call(1.0))
        await until(lambda: bool(workers.seen))
        assert await outcome(batcher, a_call(2.0)) == [2.5]
        assert now() - began < 0.015


async def test_after_a_batch_of_several_the_next_waits_for_as_many() -> None:
    """Callers that were answered together tend to come back together, one a moment later."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        await outcomes(batcher, a_call(1.0), a_call(2.0))
        async with anyio.create_task_group() as callers:
            callers.start_soon(outcome, batcher, a_call(3.0))
            await anyio.sleep(WAIT_S / 2)
            callers.start_soon(outcome, batcher, a_call(4.0))
    assert workers.seen == [[1.0, 2.0], [3.0, 4.0]]


async def test_the_wait_for_company_ends() -> None:
    """What does not come back is waited for over MAX_BATCH_WAIT_MS, and then no more."""
    workers = FakeWorkers(takes_s=0.01)
    async with running(workers) as batcher:
        await outcomes(batcher, a_call(1.0), a_call(2.0))
        for expected_s in (WAIT_S + 0.01, 0.01):
            began = now()
            await outcome(batcher, a_call(3.0))
            assert now() - began == pytest.approx(expected_s)


async def test_none_waits_for_those_that_were_answered_long_ago() -> None:
    """They had their moment to come back, whether anyone else came or not."""
    async with running(FakeWorkers(takes_s=0.01)) as batcher:
        await outcomes(batcher, a_call(1.0), a_call(2.0))
        await anyio.sleep(WAIT_S * 2)
        began = now()
        await outcome(batcher, a_call(3.0))
        assert now() - began == pytest.approx(0.01)


async def test_callers_that_come_back_are_joined() -> None:
    """Two halves would each wait for the other's run, for good; also after others came."""
    workers = FakeWorkers(takes_s=0.02)
    async with running(workers) as batcher:
        await one_by_one(batcher, 50, 0.03)
        async with anyio.create_task_group() as callers:
            for after_s in (0.0, 0.01) * 4:
                callers.start_soon(partial(again_and_again, batcher, 40, after_s=after_s))
    sizes = [len(rows) for rows in workers.seen[50:]]
    assert 4 in sizes[:5]
    assert set(sizes[-20:-1]) == {8}


async def test_callers_that_come_as_they_like_are_not_waited_for() -> None:
    """A worker that is waited for takes what there is as soon as it is free."""
    async with running(FakeWorkers(takes_s=0.01)) as batcher:
        took_s = await one_by_one(batcher, 300, 0.0031)
    assert max(took_s[-200:]) <= 0.02


async def test_a_batch_has_at_most_max_batch_rows() -> None:
    """What does not fit goes next, and what is larger goes alone; in order of arrival."""
    workers = FakeWorkers()
    payloads = [a_call(1, 2), a_call(3, 4), a_call(5), a_call(6, 7, 8, 9), a_call(10)]
    async with running(workers, max_rows=3) as batcher:
        got = await outcomes(batcher, *payloads)
    assert workers.seen == [[1, 2, 5], [3, 4, 10], [6, 7, 8, 9]]
    assert got == [[1.5, 2.5], [3.5, 4.5], [5.5], [6.5, 7.5, 8.5, 9.5], [10.5]]


async def test_a_batch_that_is_large_enough_follows_one_that_runs() -> None:
    """Its worker finds it in its pipe; what is not large enough waits for company."""
    workers = of_cheap_calls()
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        await learn(batcher)
        began = len(workers.seen)
        callers.start_soon(outcome, batcher, a_call(*ENOUGH, 6.0))
        await until(lambda: len(workers.seen) > began)
        callers.start_soon(outcome, batcher, a_call(7.0))
        await anyio.lowlevel.checkpoint()
        assert (workers.most_calls, batcher.waiting) == (1, 1)
        callers.start_soon(outcome, batcher, a_call(*ENOUGH))
        await until(lambda: workers.most_calls == 2)
        callers.start_soon(outcome, batcher, a_call(*ENOUGH, 8.0, 9.0))
        await anyio.lowlevel.checkpoint()
        assert batcher.waiting == 1
    assert [len(rows) for rows in workers.seen[began:]] == [6, 6, 7]


async def test_nothing_follows_where_something_else_waits_for_the_worker() -> None:
    """What looks after it, or gives it better predictors, has to come to it."""
    workers = of_cheap_calls()
    async with running(workers) as batcher:
        await learn(batcher)
        first = asyncio.create_task(outcome(batcher, a_call(*ENOUGH)))
        await until(lambda: not workers.members.next())
        holding = asyncio.create_task(hold_for_a_moment(workers))
        got = [await a_moment_later(outcome(batcher, a_call(*ENOUGH)), 0), await first]
        await holding
    assert list(got) == [right_answers(ENOUGH)] * 2
    assert workers.most_calls == 1


async def test_nothing_follows_a_long_run() -> None:
    """Another worker may be free before it ends."""
    workers = FakeWorkers(takes_s=0.01, row_s=0.01)
    async with running(workers) as batcher:
        await learn(batcher)
        await asyncio.gather(
            outcome(batcher, a_call(*ENOUGH)), a_moment_later(outcome(batcher, a_call(*ENOUGH)), 0)
        )
    assert workers.most_calls == 1


@pytest.mark.parametrize(
    ("culprit", "error"),
    [(RAISING, ModelFailedError), (KILLING, ChildLostError), (HANGING, RequestTimeoutError)],
)
async def test_what_follows_a_culprit_is_answered(
    culprit: float, error: type[ServiceError]
) -> None:
    """By another worker if need be, and never behind the culprit once that is run again."""
    workers = of_cheap_calls()
    async with running(workers) as batcher:
        await learn(batcher)
        at_fault, good = await asyncio.gather(
            outcome(batcher, a_call(*ENOUGH, culprit)),
            a_moment_later(outcome(batcher, a_call(*ENOUGH)), 0),
        )
    assert type(at_fault) is error
    assert good == right_answers(ENOUGH)


async def test_params_are_never_mixed() -> None:
    """Requests are merged if their params are equal, in whatever order they were written."""
    workers = FakeWorkers()
    first, second = {"a": 1, "b": 2}, {"a": 2, "b": 2}
    async with running(workers) as batcher:
        await outcomes(
            batcher,
            a_call(1, params=first),
            a_call(2, params=second),
            a_call(3, params={"b": 2, "a": 1}),
            a_call(4),
        )
    assert workers.seen == [[1, 3], [2], [4]]
    assert workers.params == [first, second, None]


async def test_true_is_not_one_where_params_are_compared() -> None:
    """Python holds them for equal; a model need not."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        await outcomes(batcher, *(a_call(1, params={"p": p}) for p in (True, 1, 1.0)))
    assert len(workers.seen) == 3


async def test_a_version_that_is_not_row_wise_is_never_merged() -> None:
    """Its answer to a row depends on the rows beside it."""
    workers = FakeWorkers()
    async with running(workers, row_wise=False) as batcher:
        await outcomes(batcher, a_call(1), a_call(2), a_call(3))
    assert workers.seen == [[1], [2], [3]]
