"""Runs that fail, hang, lose their worker or their callers: what each request is told."""

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from service.codecs.catalog import ROWS_AND_COLUMNS
from service.contracts.contract import Call, Predictions
from service.core.errors import (
    CallerGoneError,
    ChildLostError,
    ModelFailedError,
    NonFinitePredictionError,
    OverloadedError,
    QueueTimeoutError,
    RequestTimeoutError,
    ServiceError,
    ShuttingDownError,
)
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batch_runs import (
    BATCH_TIMEOUT_SHARE,
    RERUN_TIMEOUT_SHARE,
    SOFT_TIMEOUT_SHARE,
)
from service.serving.batching.batcher import Batcher
from service.workers.messages import RawRequest
from tests.support.batchers import (
    LIMIT_S,
    a_body_chunked,
    a_moment_later,
    now,
    outcome,
    outcomes,
    running,
    until,
)
from tests.support.fake_workers import (
    HANGING,
    KILLING,
    NAN_ROW,
    RAISING,
    FakeWorker,
    FakeWorkers,
    a_call,
    right_answers,
)

pytestmark = pytest.mark.loops("virtual")


async def test_only_the_request_with_the_row_that_is_not_finite_fails() -> None:
    """It is told the row as it counts its own."""
    async with running(FakeWorkers()) as batcher:
        good, bad, also_good = await outcomes(batcher, a_call(1, 2), a_call(3, NAN_ROW), a_call(4))
        assert (good, also_good) == ([1.5, 2.5], [4.5])
        assert isinstance(bad, NonFinitePredictionError)
        assert bad.row == 1
        raw = await outcome(batcher, RawRequest(body=b"nan"))
        assert isinstance(raw, NonFinitePredictionError)


@pytest.mark.parametrize(
    ("culprit", "error", "workers_lost"),
    [
        (RAISING, ModelFailedError, 0),
        (KILLING, ChildLostError, 2),
        (HANGING, RequestTimeoutError, 2),
    ],
)
async def test_only_the_culprit_in_a_batch_fails(
    culprit: float, error: type[ServiceError], workers_lost: int
) -> None:
    """The batch is run again request by request, and each answers for itself."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        before, at_fault, after = await outcomes(batcher, a_call(1), a_call(culprit), a_call(2))
        assert (before, after) == ([1.5], [2.5])
        assert type(at_fault) is error
    assert workers.lost == workers_lost


async def test_a_batch_and_its_reruns_are_shorter_than_a_request() -> None:
    """Neighbours of a request that hangs are answered within their own limit."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        began = now()
        await outcomes(batcher, a_call(1), a_call(HANGING), a_call(2))
        assert now() - began == pytest.approx(
            LIMIT_S * (BATCH_TIMEOUT_SHARE + RERUN_TIMEOUT_SHARE), abs=0.2
        )


async def test_a_request_is_not_failed_by_one_lost_worker() -> None:
    """The first loss may have been another's fault; with the second it is the request's own."""
    workers = FakeWorkers()
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        got: list[Any] = []

        async def ask() -> None:
            got.append(await outcome(batcher, a_call(1)))

        with workers.held() as worker:
            callers.start_soon(ask)
            await until(lambda: batcher.waiting == 1)
        await until(lambda: bool(workers.seen))
        worker.kill()
    assert got == [[1.5]]
    assert workers.lost == 1


async def test_a_request_that_is_too_slow_ends_at_its_limit() -> None:
    """It is told so, and its worker is not left hanging."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        began = now()
        late = await outcome(batcher, a_call(HANGING))
        assert isinstance(late, RequestTimeoutError)
        assert now() - began == pytest.approx(LIMIT_S)
        assert await outcome(batcher, a_call(1)) == [1.5]
    assert workers.lost == 1


async def test_a_request_ends_at_its_limit_though_no_worker_ever_took_it() -> None:
    """Its time counts from its arrival."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        with workers.held():
            began = now()
            assert isinstance(await outcome(batcher, a_call(1)), QueueTimeoutError)
            assert now() - began == pytest.approx(LIMIT_S)


async def test_the_wait_for_a_worker_is_not_the_models_time() -> None:
    """A request whose model had less than its share of the limit failed for want of a worker."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        with workers.held():
            late = asyncio.create_task(outcome(batcher, a_call(HANGING)))
            await anyio.sleep(LIMIT_S * (1 - SOFT_TIMEOUT_SHARE) + 1)
        assert isinstance(await late, QueueTimeoutError)


async def test_each_has_the_whole_limit_whatever_came_before() -> None:
    """Also behind one that was answered long before its own, and after a time without any."""
    workers = FakeWorkers()
    async with running(workers) as batcher:

        async def took_s(later_s: float) -> float:
            await anyio.sleep(later_s)
            began = now()
            assert isinstance(await outcome(batcher, a_call(1)), QueueTimeoutError)
            return now() - began

        for _ in range(2):
            assert await outcome(batcher, a_call(1)) == [1.5]
            with workers.held():
                took = await asyncio.gather(*(took_s(later_s) for later_s in (0, 7, 7.5, 29, 40)))
            assert took == pytest.approx([LIMIT_S] * 5)
            await anyio.sleep(2 * LIMIT_S)


async def test_a_run_that_hangs_is_preempted_for_those_that_wait() -> None:
    """They still have time for an answer."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        began = now()
        hanging, waiting = await asyncio.gather(
            outcome(batcher, a_call(HANGING)), a_moment_later(outcome(batcher, a_call(1)))
        )
        assert isinstance(hanging, RequestTimeoutError)
        assert waiting == [1.5]
        assert now() - began == pytest.approx(LIMIT_S * SOFT_TIMEOUT_SHARE, abs=0.2)


async def test_no_run_is_preempted_for_a_caller_that_has_gone() -> None:
    """A slow request keeps its worker if no other is left to wait for it."""
    workers = FakeWorkers(takes_s=LIMIT_S * 0.9)
    async with running(workers) as batcher, anyio.create_task_group() as callers:

        async def ask_and_go() -> None:
            await until(lambda: bool(workers.seen))
            with anyio.move_on_after(1):
                await batcher.submit(a_call(2))

        callers.start_soon(ask_and_go)
        assert await outcome(batcher, a_call(1)) == [1.5]
    assert workers.lost == 0


async def test_a_caller_that_goes_away_harms_nobody() -> None:
    """Neither those in its batch, nor those behind it."""
    workers = FakeWorkers()
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        got: dict[float, Any] = {}
        gone = anyio.CancelScope()

        async def ask(row: float) -> None:
            got[row] = await outcome(batcher, a_call(row))

        async def go_away() -> None:
            with gone:
                await ask(9.0)

        callers.start_soon(ask, 1.0)
        callers.start_soon(go_away)
        callers.start_soon(ask, 2.0)
        await until(lambda: bool(workers.seen))
        gone.cancel()
        callers.start_soon(ask, 3.0)
    assert got == {row: right_answers([row]) for row in (1.0, 2.0, 3.0)}
    assert workers.lost == 0


async def test_a_caller_that_went_before_its_turn_is_not_computed() -> None:
    """Nobody would read the answer."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        with workers.held(), anyio.move_on_after(0.01):
            await outcome(batcher, a_call(9))
        assert await outcome(batcher, a_call(1)) == [1.5]
    assert workers.seen == [[1.0]]


async def test_what_waits_when_it_ends_is_told() -> None:
    """Nothing is left waiting."""
    workers = FakeWorkers()
    got: list[Any] = []

    async def ask(batcher: Batcher[Any], row: float) -> None:
        got.append(await outcome(batcher, a_call(row)))

    async with anyio.create_task_group() as callers, running(workers) as batcher:
        callers.start_soon(ask, batcher, HANGING)
        await until(lambda: bool(workers.seen))
        callers.start_soon(ask, batcher, 1.0)
        await until(lambda: batcher.waiting == 1)
    assert [type(error) for error in got] == [ShuttingDownError] * 2


async def test_what_comes_after_its_end_is_told_immediately() -> None:
    """A version may collapse while it serves: its callers must not wait for their whole limit."""
    async with running(FakeWorkers()) as batcher:
        await outcome(batcher, a_call(1))
    began = now()
    assert isinstance(await outcome(batcher, a_call(2)), ShuttingDownError)
    assert now() == began


class BrokenWorker(FakeWorker):
    """Fails as nothing of ours should."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Raise what no caller expects if the batch has a 7 in it."""
        predictions = await super().predict(call, timeout_s)
        if 7.5 in predictions.columns[0]:
            raise ZeroDivisionError
        return predictions


async def test_a_defect_of_ours_is_one_requests_and_does_not_end_the_queue() -> None:
    """Even then the others of the batch are answered, and those after it."""
    workers = FakeWorkers(make=BrokenWorker)
    async with running(workers) as batcher:
        first, broken, second = await outcomes(batcher, a_call(1), a_call(7), a_call(2))
        assert (first, second) == ([1.5], [2.5])
        assert type(broken) is ServiceError
        assert await outcome(batcher, a_call(3)) == [3.5]


class ForecastingWorker(FakeWorker):
    """Answers three rows to each."""

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer the rows thrice."""
        answered = await super().predict(call, timeout_s)
        return msgspec.structs.replace(
            answered, rows=3 * answered.rows, columns=[answered.columns[0] * 3]
        )


async def test_a_lone_request_gets_all_rows_that_the_model_answers() -> None:
    """There are more than it sent, or fewer, where ROWS_OUT=any."""
    workers = FakeWorkers(make=ForecastingWorker)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5] * 3


async def test_a_slow_batch_is_not_ended_for_what_it_was_given() -> None:
    """What was seen to take longer than a third of the limit may take it in a batch, too."""
    workers = FakeWorkers(takes_s=LIMIT_S * 0.4)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        assert await outcomes(batcher, a_call(2), a_call(3)) == [[2.5], [3.5]]
    assert workers.lost == 0


async def test_a_run_as_long_as_the_last_ones_is_preempted_for_none() -> None:
    """Others that wait behind it are no reason to lose its worker."""
    workers = FakeWorkers(takes_s=LIMIT_S * 0.8)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        slow, behind = await asyncio.gather(
            outcome(batcher, a_call(2)), a_moment_later(outcome(batcher, a_call(3)))
        )
        assert slow == [2.5]
        assert isinstance(behind, QueueTimeoutError)
        assert workers.lost == 0


async def test_a_batch_holds_what_will_take_a_tenth_of_the_limit() -> None:
    """However many wait: it is small while nothing is known, and tries a second size then."""
    workers = FakeWorkers(takes_s=0.0, row_s=LIMIT_S / 200)
    async with running(workers, max_rows=1000) as batcher:
        await outcomes(batcher, *(a_call(row) for row in range(1, 121)))
    assert [len(rows) for rows in workers.seen] == [16, 32, 20, 20, 20, 12]


async def test_only_so_many_rows_and_bytes_wait() -> None:
    """Beyond them each is refused immediately, also while no worker stands."""
    workers = FakeWorkers()
    async with running(workers, queue_rows=3, queue_bytes=100) as batcher:
        with workers.held():
            waiting = [asyncio.create_task(outcome(batcher, a_call(1, 2)))]
            await until(lambda: batcher.waiting == 1)
            began = now()
            assert isinstance(await outcome(batcher, a_call(3, 4)), OverloadedError)
            assert isinstance(batcher.refusal(101), OverloadedError)
            assert now() == began
            waiting.append(asyncio.create_task(outcome(batcher, a_call(5))))
            await until(lambda: batcher.waiting == 2)
        assert [await task for task in waiting] == [[1.5, 2.5], [5.5]]
        assert batcher.refusal(101) is None


async def test_a_request_whose_caller_has_hung_up_is_not_computed() -> None:
    """It is dropped before it reaches a worker; those behind it are answered."""

    class Gone:
        disconnected = False

    workers, caller = FakeWorkers(), Gone()
    async with running(workers) as batcher:
        with workers.held():
            gone = asyncio.create_task(batcher.submit(a_call(9), caller=caller))
            there = asyncio.create_task(outcome(batcher, a_call(1)))
            await until(lambda: batcher.waiting == 2)
            caller.disconnected = True
        assert await there == [1.5]
        with pytest.raises(CallerGoneError):
            await gone
    assert workers.seen == [[1.0]]


async def test_a_request_that_is_late_for_its_turn_is_refused_then() -> None:
    """Its answer would come too late; the one behind it is answered instead."""
    workers = FakeWorkers(takes_s=LIMIT_S * 0.2)
    async with running(workers, row_wise=False) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        with workers.held():
            late = asyncio.create_task(outcome(batcher, a_call(2)))
            await anyio.sleep(LIMIT_S * 0.7)
            behind = asyncio.create_task(outcome(batcher, a_call(3)))
            await anyio.sleep(LIMIT_S * 0.2)
        assert isinstance(await late, OverloadedError)
        assert await behind == [3.5]
    assert workers.seen == [[1.0], [3.0]]


async def test_small_requests_beside_a_large_body_are_not_refused_for_it() -> None:
    """They are answered between its chunks, however long it will take; another body is not."""
    workers, cost = FakeWorkers(1, takes_s=0.1), BatchCost()
    cost.note_body(ROWS_AND_COLUMNS, 0, LIMIT_S * 0.8, now())
    async with running(workers, cost=cost) as batcher:
        body = await a_body_chunked(batcher, workers)
        calls = [asyncio.create_task(outcome(batcher, a_call(2)))]
        await anyio.sleep(0.001)
        calls += [asyncio.create_task(outcome(batcher, a_call(row))) for row in (3, 4)]
        await anyio.sleep(0.001)
        assert batcher.waiting == 2
        assert batcher.refusal(0, 1) is None
        assert isinstance(batcher.refusal(0, is_body=True), OverloadedError)
        assert [await call for call in calls] == [[2.5], [3.5], [4.5]]
        await body
