"""Bodies that go alone, or in chunks between which small requests are answered."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from service.contracts.contract import Call
from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    RequestTimeoutError,
    ServiceError,
)
from service.workers.messages import RawReply, RawRequest
from tests.support.batchers import (
    WAIT_S,
    a_body_chunked,
    hold_for_a_moment,
    now,
    outcome,
    outcomes,
    running,
    until,
)
from tests.support.fake_workers import (
    HANGING,
    KILLING,
    KILLING_BODY,
    RAISING,
    FakeWorkers,
    a_call,
)

pytestmark = pytest.mark.loops("virtual")


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


async def test_small_requests_are_answered_between_the_chunks_of_a_body() -> None:
    """Where no other worker is left to them; once the body is answered all is as before."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher, anyio.create_task_group() as callers:
        body = await a_body_chunked(batcher, workers)
        for row in (2, 3):
            began = now()
            assert await outcome(batcher, a_call(row)) == [row + 0.5]
            assert now() - began <= 0.2 + WAIT_S
        assert not body.done()
        # Those that come together go together, and a second body waits for the first one's end.
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
async def test_a_body_goes_in_chunks_only_where_that_serves_a_request(
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


async def test_what_mlflow_itself_answers_goes_in_one_go() -> None:
    """Its code has no chunks, between which a call could be answered."""
    workers = FakeWorkers(1)
    async with running(workers) as batcher:
        await outcome(batcher, a_call(1))
        asked = RawRequest("mlflow-json", "mlflow-json", body=b"large")
        assert await outcome(batcher, asked) == RawReply(1, b"large", None)
    assert (workers.bodies, workers.chunked) == ([b"large"], [])


@pytest.mark.parametrize("payload", [a_call(1), RawRequest(body=b"one")], ids=["call", "body"])
async def test_workers_that_are_lost_together_count_as_one(payload: Call | RawRequest) -> None:
    """The second one's end may not be known yet when it is given what the first one had."""
    workers = FakeWorkers(2, takes_s=0.1)
    busy, idle = workers.members
    async with running(workers) as batcher:
        asked = asyncio.create_task(outcome(batcher, payload))
        await until(lambda: bool(workers.seen or workers.bodies))
        idle.vanish()
        busy.kill()
        assert not isinstance(await asked, Exception)
    assert workers.lost == 2


async def test_a_body_goes_in_chunks_beside_short_calls() -> None:
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
async def test_a_body_is_answered_though_a_call_between_its_chunks_is_a_culprit(
    culprit: float, error: type[ServiceError]
) -> None:
    """And so is what shared that call. A body that is run again has the worker to itself."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher:
        body = await a_body_chunked(batcher, workers)
        bad, good = await outcomes(batcher, a_call(culprit), a_call(2))
        assert isinstance(bad, error)
        assert good == [2.5]
        assert await body == RawReply(1, b"large", None)
    assert workers.chunked == [b"large"]


async def test_a_body_that_costs_its_worker_harms_nobody_between_its_chunks() -> None:
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


async def test_nothing_goes_between_the_chunks_where_something_else_waits_for_the_worker() -> None:
    """It is handed over when the body is answered."""
    workers = FakeWorkers(1, takes_s=0.1)
    async with running(workers) as batcher, anyio.create_task_group() as others:
        body = await a_body_chunked(batcher, workers)
        others.start_soon(hold_for_a_moment, workers)
        await anyio.lowlevel.checkpoint()
        call = asyncio.create_task(outcome(batcher, a_call(2)))
        await anyio.sleep(0.8)
        assert workers.seen == [[1]]
        assert not body.done()
        await body
        assert await call == [2.5]
