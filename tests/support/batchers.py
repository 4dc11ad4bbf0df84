"""A batcher over fake workers, and ways to ask it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from service.contracts.contract import Call
from service.core.errors import (
    ServiceError,
)
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batcher import Batcher, BatchSettings
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.workers.messages import RawReply, RawRequest
from tests.support.fake_source import a_version
from tests.support.fake_workers import (
    FakeWorker,
    FakeWorkers,
    a_call,
    answers_in,
)

LIMIT_S = 30.0


WAIT_S = 0.002


VERSION = a_version(1)


def a_batcher(
    workers: FakeWorkers,
    settings: BatchSettings,
    *,
    row_wise: bool = True,
    cost: BatchCost | None = None,
    observer: Observer = NULL_OBSERVER,
) -> Batcher[FakeWorker]:
    """Return a batcher that is told when one of these workers is free."""
    batcher = Batcher(
        workers.members,
        settings,
        version=VERSION,
        row_wise=row_wise,
        cost=cost,
        observer=observer,
    )
    workers.on_free = batcher.dispatch
    return batcher


@asynccontextmanager
async def running(
    workers: FakeWorkers,
    *,
    row_wise: bool = True,
    max_rows: int = 100,
    cost: BatchCost | None = None,
    observer: Observer = NULL_OBSERVER,
    **limits: int,
) -> AsyncIterator[Batcher[FakeWorker]]:
    """Host a batcher."""
    settings = BatchSettings(max_rows, WAIT_S, LIMIT_S, **limits)
    batcher = a_batcher(workers, settings, row_wise=row_wise, cost=cost, observer=observer)
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
    """Send a body after a small request, and give its outcome, once it is answered in chunks."""
    assert await outcome(batcher, a_call(1)) == [1.5]
    body = asyncio.create_task(outcome(batcher, RawRequest(body=b"large")))
    await until(lambda: bool(workers.chunked))
    return body


async def hold_for_a_moment(workers: FakeWorkers) -> None:
    """Wait for a worker, hold it, and give it back."""
    async with workers.members.acquire():
        await anyio.sleep(0.001)


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait for a state."""
    with anyio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110 - virtual time
            await anyio.sleep(0.0001)


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


ENOUGH = (1.0, 2.0, 3.0, 4.0, 5.0)


def of_cheap_calls() -> FakeWorkers:
    """Return workers for which five rows are enough, whose runs are short enough to be followed."""
    return FakeWorkers(takes_s=0.0001, row_s=0.0001)


async def learn(batcher: Batcher[Any]) -> None:
    """Let it see what runs cost."""
    for rows in (1, 8) * 3:
        await outcome(batcher, a_call(*range(1, rows + 1)))


async def a_moment_later(request: Coroutine[Any, Any, Any], moment_s: float = 0.001) -> Any:
    """Send a request while another is under way."""
    await anyio.sleep(moment_s)
    return await request
