"""Workers that stand by: real processes, taken by whoever needs one next."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil
import pytest

from service.core.errors import ChildStartError
from service.core.versions import StoredVersion
from service.processes import child as child_module
from service.processes.child import Child, ChildSpec, ChildThreads, start_child
from service.workers import factory as starter_module
from service.workers.factory import WorkerFactory
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support.fake_workers import a_call
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]

SOON_S = 60.0
CALL_S = 20.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for moments, not for seconds."""
    monkeypatch.setattr(starter_module, "_QUIET_S", 0.05)
    monkeypatch.setattr(starter_module, "_FIRST_BACKOFF_S", 0.05)


@asynccontextmanager
async def keeping() -> AsyncIterator[WorkerFactory]:
    """Have a starter keep a spare worker; nothing is left of it afterwards."""
    starter = WorkerFactory(ChildThreads())
    async with anyio.create_task_group() as host:
        host.start_soon(starter.keep_spare)
        yield starter
        spare = starter._spare
        host.cancel_scope.cancel()
    assert starter._spare is None
    if spare is not None:
        assert not psutil.pid_exists(spare.pid)


async def started(
    starter: WorkerFactory, settings: PoolSettings, name: str = "worker-1-1"
) -> Child:
    """Start a worker as a pool would."""
    return await starter.start(name, {"version": "1"}, settings.process)


async def the_spare(starter: WorkerFactory) -> Child:
    """Wait until a worker stands by."""
    await until(lambda: starter._spare is not None, SOON_S)
    assert starter._spare is not None
    return starter._spare


async def test_none_stands_by_until_a_worker_was_needed(pool_settings: PoolSettings) -> None:
    """The first version's workers are not to wait for it."""
    async with keeping() as starter:
        await anyio.sleep(0.3)
        assert starter._spare is None
        await (await started(starter, pool_settings)).end()
        await the_spare(starter)


async def test_who_needs_a_worker_takes_the_one_that_stands_by(
    pool_settings: PoolSettings,
) -> None:
    """Under its new name; and after that another one stands by."""
    async with keeping() as starter:
        first = await started(starter, pool_settings)
        spare = await the_spare(starter)
        taken = await started(starter, pool_settings, "worker-2-1")
        assert taken is spare is not first
        assert taken.name == "worker-2-1"
        another = await the_spare(starter)
        assert another is not taken
        assert len({first.pid, taken.pid, another.pid}) == 3
        for child in (first, taken):
            await child.end()


async def test_a_pool_loads_its_version_in_the_worker_that_stands_by(
    pool_settings: PoolSettings, stored: StoredVersion
) -> None:
    """And so does the successor of one that was lost."""
    async with keeping() as starter, anyio.create_task_group() as host:
        await (await started(starter, pool_settings)).end()
        spare = await the_spare(starter)
        pool = Pool(stored, starter, pool_settings)
        await host.start(pool.run)
        await until(lambda: pool.pids == [spare.pid], SOON_S)
        another = await the_spare(starter)
        os.kill(spare.pid, signal.SIGKILL)
        await until(lambda: pool.pids == [another.pid], SOON_S)
        async with pool.acquire() as worker:
            assert (await worker.predict(a_call(1.0), CALL_S)).rows == 1
        pool.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_one_that_is_lost_or_hangs_is_replaced(
    pool_settings: PoolSettings, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate is never refused for what stood by in vain."""
    monkeypatch.setattr(starter_module, "_SIGN_OF_LIFE_S", 0.2)
    async with keeping() as starter:
        await (await started(starter, pool_settings)).end()
        spare = await the_spare(starter)
        os.kill(spare.pid, how)
        if how is signal.SIGKILL:
            await until(lambda: starter._spare not in {spare, None}, SOON_S)
        taken = await started(starter, pool_settings)
        assert taken.pid != spare.pid
        await taken.ping(CALL_S)
        assert not psutil.pid_exists(spare.pid)
        await taken.end()


async def test_workers_are_started_though_none_can_stand_by(
    pool_settings: PoolSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, and whatever goes wrong there ends nothing else."""
    real = start_child
    failures: list[Exception] = [ChildStartError("no process to be had"), ValueError("a defect")]

    async def failing(spec: ChildSpec, threads: ChildThreads, start_timeout_s: float) -> Child:
        if spec.name == "spare-worker" and failures:
            raise failures.pop()
        return await real(spec, threads, start_timeout_s)

    monkeypatch.setattr(starter_module, "start_child", failing)
    async with keeping() as starter:
        child = await started(starter, pool_settings)
        await the_spare(starter)
        assert failures == []
        await child.end()


async def test_a_wish_that_is_given_up_leaves_no_worker(
    pool_settings: PoolSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion may be superseded while its worker is asked for a sign of life."""
    async with keeping() as starter:
        await (await started(starter, pool_settings)).end()
        spare = await the_spare(starter)
        asked = anyio.Event()

        async def never(_: Child, timeout_s: float) -> None:
            del timeout_s
            asked.set()
            await anyio.sleep_forever()

        monkeypatch.setattr(child_module.Child, "ping", never)
        async with anyio.create_task_group() as wishes:
            wishes.start_soon(started, starter, pool_settings)
            await asked.wait()
            wishes.cancel_scope.cancel()
        await until(lambda: not psutil.pid_exists(spare.pid), SOON_S)
