import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from service.codecs.media import Media
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
from service.serving.batching.batch_runs import (
    BATCH_TIMEOUT_SHARE,
    PATIENCE_SHARE,
    RERUN_TIMEOUT_SHARE,
    W,
)
from service.serving.batching.batcher import Batcher, BatchSettings, BatchWorkers
from service.workers.messages import RawReply, RawRequest
from tests.support.fake_workers import (
    HANGING,
    KILLING,
    KILLING_BODY,
    NAN_ROW,
    RAISING,
    FakeWorker,
    FakeWorkers,
    a_call,
    answers_in,
    right_answers,
)

pytestmark = pytest.mark.loops("virtual")

LIMIT_S = 30.0
WAIT_S = 0.002


@asynccontextmanager
async def running(
    workers: BatchWorkers[W], *, row_wise: bool = True, max_rows: int = 100, **limits: int
) -> AsyncIterator[Batcher[W]]:
    """Host a batcher."""
    settings = BatchSettings(max_rows, WAIT_S, LIMIT_S, **limits)
    batcher = Batcher(workers, settings, row_wise=row_wise)
    async with anyio.create_task_group() as host:
        host.start_soon(batcher.run)
        yield batcher
        host.cancel_scope.cancel()


async def outcome(batcher: Batcher[Any], payload: Call | RawRequest) -> Any:
    """Return a request's answers, or its error."""
    try:
        answer = await batcher.submit(payload)
    except ServiceError as error:
        return error
    return answer if isinstance(answer, RawReply) else answers_in(answer)


async def outcomes(batcher: Batcher[Any], *payloads: Call | RawRequest) -> list[Any]:
    """Return the answers or errors of requests that come in one moment."""
    return list(await asyncio.gather(*(outcome(batcher, payload) for payload in payloads)))


async def a_body_chunked(batcher: Batcher[Any], workers: FakeWorkers) -> "asyncio.Task[Any]":
    """Send a body after a small request, and give its outcome, once it is answered in steps."""
    assert await outcome(batcher, a_call(1)) == [1.5]
    body = asyncio.create_task(outcome(batcher, RawRequest(body=b"large")))
    await until(lambda: bool(workers.chunked))
    return body


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait for a state."""
    with anyio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110 - virtual time
            await anyio.sleep(0.0001)


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
    """A second request goes to the second worker at once."""
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
    """A request whose company does not come back goes after MAX_BATCH_WAIT_MS, the next at once."""
    workers = FakeWorkers(takes_s=0.01)
    async with running(workers) as batcher:
        await outcomes(batcher, a_call(1.0), a_call(2.0))
        for expected_s in (WAIT_S + 0.01, 0.01):
            began = now()
            await outcome(batcher, a_call(3.0))
            assert now() - began == pytest.approx(expected_s)


async def test_nobody_waits_for_those_who_were_answered_long_ago() -> None:
    """They had their moment to come back, whether anyone else came or not."""
    async with running(FakeWorkers(takes_s=0.01)) as batcher:
        await outcomes(batcher, a_call(1.0), a_call(2.0))
        await anyio.sleep(WAIT_S * 2)
        began = now()
        await outcome(batcher, a_call(3.0))
        assert now() - began == pytest.approx(0.01)


async def again_and_again(batcher: Batcher[Any], times: int, *, after_s: float = 0.0) -> None:
    """Ask, and ask again half a wait after each answer."""
    await anyio.sleep(after_s)
    for _ in range(times):
        await outcome(batcher, a_call(1.0))
        await anyio.sleep(WAIT_S / 2)


async def one_by_one(batcher: Batcher[Any], times: int, every_s: float) -> list[float]:
    """Ask at fixed times, whatever was answered; return how long each took."""
    took_s: list[float] = []

    async def ask() -> None:
        began = now()
        await outcome(batcher, a_call(1.0))
        took_s.append(now() - began)

    async with anyio.create_task_group() as callers:
        for _ in range(times):
            callers.start_soon(ask)
            await anyio.sleep(every_s)
    return took_s


async def test_callers_who_come_back_are_joined() -> None:
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


async def test_callers_who_come_as_they_like_are_not_waited_for() -> None:
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


ENOUGH = (1.0, 2.0, 3.0, 4.0, 5.0)


def of_cheap_calls() -> FakeWorkers:
    """Return workers for which five rows are enough, whose runs are short enough to be followed."""
    return FakeWorkers(takes_s=0.0001, row_s=0.0001)


async def learn(batcher: Batcher[Any]) -> None:
    """Let it see what runs cost."""
    for rows in (1, 8) * 3:
        await outcome(batcher, a_call(*range(1, rows + 1)))


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


async def test_nothing_follows_where_someone_else_waits_for_the_worker() -> None:
    """Who looks after it, or gives it better predictors, has to come to it."""
    workers = of_cheap_calls()
    async with running(workers) as batcher:
        await learn(batcher)
        workers.wanted = True
        got = await asyncio.gather(
            outcome(batcher, a_call(*ENOUGH)), a_moment_later(outcome(batcher, a_call(*ENOUGH)), 0)
        )
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
async def test_who_follows_a_culprit_is_answered(culprit: float, error: type[ServiceError]) -> None:
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


async def test_a_body_goes_alone() -> None:
    """What the worker is to decode is merged with nothing."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        got = await outcomes(
            batcher, a_call(1), RawRequest(body=b"one"), a_call(2), RawRequest(body=b"two")
        )
    assert got == [[1.5], RawReply(1, b"one", None), [2.5], RawReply(1, b"two", None)]
    assert workers.bodies == [b"one", b"two"]
    assert workers.seen == [[1, 2]]


async def test_bodies_leave_a_worker_to_small_requests() -> None:
    """While such come: large ones would keep every worker busy for long."""
    workers = FakeWorkers(2, takes_s=0.1)
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        assert await outcome(batcher, a_call(1)) == [1.5]
        for body in (b"one", b"two"):
            callers.start_soon(outcome, batcher, RawRequest(body=body))
        await until(lambda: bool(workers.bodies))
        assert workers.bodies == [b"one"]
        began = now()
        assert await outcome(batcher, a_call(2)) == [2.5]
        assert now() - began == pytest.approx(0.1)
    assert workers.bodies == [b"one", b"two"]


async def test_bodies_take_every_worker_where_nothing_else_comes() -> None:
    """A worker that waits for nobody is of no use."""
    workers = FakeWorkers(2, takes_s=0.1)
    async with running(workers) as batcher:
        began = now()
        await outcomes(batcher, RawRequest(body=b"one"), RawRequest(body=b"two"))
        assert now() - began == pytest.approx(0.1)


async def test_small_requests_are_answered_between_the_steps_of_a_body() -> None:
    """Where no other worker is left to them; once the body is answered all is as before."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        body = await a_body_chunked(batcher, workers)
        for row in (2, 3):
            began = now()
            assert await outcome(batcher, a_call(row)) == [row + 0.5]
            assert now() - began <= 0.2 + WAIT_S
        assert not body.done()
        # Those who come together go together, and a second body waits for the first one's end.
        callers.start_soon(outcome, batcher, RawRequest(body=b"another"))
        assert await outcomes(batcher, a_call(4), a_call(5)) == [[4.5], [5.5]]
        assert workers.bodies == [b"large"]
        assert await body == RawReply(1, b"large", None)
    assert workers.seen == [[1], [2], [3], [4, 5]]
    assert workers.bodies == [b"large", b"another"]
    assert not workers.lost


@pytest.mark.parametrize(
    ("count", "row_wise", "small_first"),
    [(2, True, True), (1, False, True), (1, True, False)],
    ids=["another worker is left to long calls", "not row-wise", "no small requests of late"],
)
async def test_a_body_goes_in_steps_only_where_that_serves_someone(
    count: int,
    row_wise: bool,  # noqa: FBT001
    small_first: bool,  # noqa: FBT001
) -> None:
    """It takes longer so."""
    workers = FakeWorkers(count)
    async with running(workers, row_wise=row_wise) as batcher:
        if small_first:
            await outcome(batcher, a_call(1))
        assert await outcome(batcher, RawRequest(body=b"large")) == RawReply(1, b"large", None)
    assert (workers.bodies, workers.chunked) == ([b"large"], [])


@pytest.mark.parametrize("payload", [a_call(1), RawRequest(body=b"one")], ids=["call", "body"])
async def test_workers_that_are_lost_at_once_count_as_one(payload: Call | RawRequest) -> None:
    """The second one's end may not be known yet when it is given what the first one had."""
    workers = FakeWorkers(2, takes_s=0.1)
    busy, idle = workers._idle
    async with running(workers) as batcher:
        asked = asyncio.create_task(outcome(batcher, payload))
        await until(lambda: bool(workers.seen or workers.bodies))
        idle.lost = True
        busy.kill()
        assert not isinstance(await asked, Exception)
    assert workers.lost == 2


async def test_a_body_goes_in_steps_beside_short_calls() -> None:
    """Another worker answers them, which may be waiting for the CPU that the body's worker has."""
    workers = FakeWorkers(2, takes_s=0.001)
    async with running(workers) as batcher:
        body = await a_body_chunked(batcher, workers)
        assert await outcome(batcher, a_call(2)) == [2.5]
        assert await body == RawReply(1, b"large", None)
    assert workers.most_calls == 1


@pytest.mark.parametrize(
    ("culprit", "error"),
    [(RAISING, ModelFailedError), (KILLING, ChildLostError), (HANGING, RequestTimeoutError)],
)
async def test_a_body_is_answered_though_a_call_between_its_steps_is_a_culprit(
    culprit: float, error: type[ServiceError]
) -> None:
    """And so is who shared that call. A body that is run again has the worker to itself."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher:
        body = await a_body_chunked(batcher, workers)
        bad, good = await outcomes(batcher, a_call(culprit), a_call(2))
        assert isinstance(bad, error)
        assert good == [2.5]
        assert await body == RawReply(1, b"large", None)
    assert workers.chunked == [b"large"]


async def test_a_body_that_costs_its_worker_harms_nobody_between_its_steps() -> None:
    """It is run again alone, and fails then."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher:
        await outcome(batcher, a_call(1))
        body, *calls = await outcomes(
            batcher, RawRequest(body=KILLING_BODY), *(a_call(row) for row in range(2, 6))
        )
        assert isinstance(body, ChildLostError)
        assert calls == [[row + 0.5] for row in range(2, 6)]
    assert workers.lost == 2


async def test_nothing_goes_between_the_steps_where_someone_else_waits_for_the_worker() -> None:
    """It is handed over when the body is answered."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher:
        body = await a_body_chunked(batcher, workers)
        workers.wanted = True
        call = asyncio.create_task(outcome(batcher, a_call(2)))
        await anyio.sleep(0.8)
        assert workers.seen == [[1]]
        assert not body.done()
        await body
        assert await call == [2.5]


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
        held = workers.take_idle()
        assert held is not None
        late = asyncio.create_task(outcome(batcher, a_call(HANGING)))
        await anyio.sleep(LIMIT_S * (1 - PATIENCE_SHARE) + 1)
        workers.give_back(held)
        assert isinstance(await late, QueueTimeoutError)


async def test_each_has_the_whole_limit_whoever_came_before() -> None:
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


async def test_a_run_that_hangs_gives_way_to_those_who_wait() -> None:
    """They still have time for an answer."""
    workers = FakeWorkers()
    async with running(workers) as batcher:
        began = now()
        hanging, waiting = await asyncio.gather(
            outcome(batcher, a_call(HANGING)), a_moment_later(outcome(batcher, a_call(1)))
        )
        assert isinstance(hanging, RequestTimeoutError)
        assert waiting == [1.5]
        assert now() - began == pytest.approx(LIMIT_S * PATIENCE_SHARE, abs=0.2)


async def a_moment_later(request: Coroutine[Any, Any, Any], moment_s: float = 0.001) -> Any:
    """Send a request while another is under way."""
    await anyio.sleep(moment_s)
    return await request


async def test_nobody_gives_way_to_a_caller_who_has_gone() -> None:
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


async def test_whoever_waits_when_it_ends_is_told() -> None:
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


async def test_whoever_comes_after_its_end_is_told_at_once() -> None:
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
    workers = FakeWorkers()
    workers._idle = [BrokenWorker(workers)]
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
    workers = FakeWorkers()
    workers._idle = [ForecastingWorker(workers)]
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5] * 3


async def test_a_slow_batch_is_not_ended_for_what_it_was_given() -> None:
    """What was seen to take longer than a third of the limit may take it in a batch, too."""
    workers = FakeWorkers(takes_s=LIMIT_S * 0.4)
    async with running(workers) as batcher:
        assert await outcome(batcher, a_call(1)) == [1.5]
        assert await outcomes(batcher, a_call(2), a_call(3)) == [[2.5], [3.5]]
    assert workers.lost == 0


async def test_a_run_as_long_as_the_last_ones_gives_way_to_nobody() -> None:
    """Others who wait behind it are no reason to lose its worker."""
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
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher:
        batcher._cost.note_body(Media.JSON, 0, LIMIT_S * 0.8, now())
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
