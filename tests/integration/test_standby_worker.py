"""Standby workers: real processes, used by the next load."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import psutil
import pytest

from service.core.errors import ChildStartError
from service.core.versions import StoredVersion
from service.processes.child import Child
from service.processes.child_threads import ChildThreads
from service.workers.factory import WorkerFactory
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings, ProcessSettings
from service.workers.standby import StandbyTimes, StandbyWorker
from tests.support.pools import CALL_S, SOON_S, answer, ask
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]

QUICK = StandbyTimes(pause_s=0.05, sign_of_life_s=CALL_S, first_backoff_s=0.05)
NAME = "worker-1-1"
LONGER_THAN_A_START_S = 0.3


@asynccontextmanager
async def keeping(times: StandbyTimes = QUICK) -> AsyncIterator[WorkerFactory]:
    """Have a factory keep a standby worker; nothing is left of it afterwards."""
    factory = WorkerFactory(ChildThreads(), times)
    async with anyio.create_task_group() as host:
        host.start_soon(factory.standby.keep)
        yield factory
        pid = factory.standby.pid
        host.cancel_scope.cancel()
    assert factory.standby.pid is None
    assert pid is None or not psutil.pid_exists(pid)


async def load(factory: WorkerFactory, settings: PoolSettings, name: str = NAME) -> Child:
    """Start a worker as a load does."""
    with factory.standby.loading(settings.process):
        return await factory.start(name, {"version": "1"}, settings.process)


async def standing_by(factory: WorkerFactory) -> int:
    """Wait until a worker stands by, and return its process id."""
    await until(lambda: factory.standby.pid is not None, SOON_S)
    assert factory.standby.pid is not None
    return factory.standby.pid


async def test_the_next_load_uses_it_and_another_one_stands_by(
    pool_settings: PoolSettings,
) -> None:
    """It has the name of the worker that was asked for."""
    async with keeping() as factory:
        first = await load(factory, pool_settings)
        standby = await standing_by(factory)
        used = await load(factory, pool_settings, "worker-2-1")
        assert (used.pid, used.name) == (standby, "worker-2-1")
        another = await standing_by(factory)
        assert len({first.pid, used.pid, another}) == 3
        for child in (first, used):
            await child.end()


async def test_none_stands_by_before_a_load_nor_while_something_loads(
    pool_settings: PoolSettings,
) -> None:
    """The first version waits for nothing that is not its own, and neither does any other."""
    async with keeping() as factory:
        await anyio.sleep(LONGER_THAN_A_START_S)
        assert factory.standby.pid is None
        with factory.standby.loading(pool_settings.process):
            await (await load(factory, pool_settings)).end()
            await anyio.sleep(LONGER_THAN_A_START_S)
            assert factory.standby.pid is None
        await standing_by(factory)


async def test_a_pool_uses_it_for_its_version_and_for_a_lost_workers_successor(
    pool_settings: PoolSettings, stored: StoredVersion
) -> None:
    """However many workers a version has, one stands by."""
    settings = msgspec.structs.replace(pool_settings, workers=2)
    async with keeping() as factory, anyio.create_task_group() as host:
        await (await load(factory, settings)).end()
        standby = await standing_by(factory)
        pool = Pool(stored, factory, settings)
        await host.start(pool.run)
        await until(lambda: pool.size == 2, SOON_S)
        assert standby in pool.pids
        another = await standing_by(factory)
        assert another not in pool.pids
        os.kill(standby, signal.SIGKILL)
        await until(lambda: pool.size == 2 and another in pool.pids, SOON_S)
        assert await ask(pool, 1.0) == answer(1.0)
        pool.close()


async def test_one_with_other_settings_is_replaced_by_one_with_these(
    pool_settings: PoolSettings,
) -> None:
    """A model of another registry gets that one's variables."""
    process = pool_settings.process
    other = msgspec.structs.replace(process, variables={"MLFLOW_TRACKING_URI": "http://other"})
    others = msgspec.structs.replace(pool_settings, process=other)
    async with keeping() as factory:
        await (await load(factory, pool_settings)).end()
        unfit = await standing_by(factory)
        started = await load(factory, others)
        assert started.pid != unfit
        assert not psutil.pid_exists(unfit)
        fit = await standing_by(factory)
        used = await load(factory, others)
        assert used.pid == fit
        for child in (started, used):
            await child.end()


async def test_one_that_is_killed_is_replaced(pool_settings: PoolSettings) -> None:
    """Before the next load."""
    async with keeping() as factory:
        await (await load(factory, pool_settings)).end()
        lost = await standing_by(factory)
        os.kill(lost, signal.SIGKILL)
        await until(lambda: factory.standby.pid not in {lost, None}, SOON_S)
        another = factory.standby.pid
        used = await load(factory, pool_settings)
        assert used.pid == another
        await used.end()


async def test_one_that_hangs_is_ended_and_the_load_starts_its_own(
    pool_settings: PoolSettings,
) -> None:
    """A candidate is never refused for a standby worker."""
    async with keeping(msgspec.structs.replace(QUICK, sign_of_life_s=0.2)) as factory:
        await (await load(factory, pool_settings)).end()
        hanging = await standing_by(factory)
        os.kill(hanging, signal.SIGSTOP)
        used = await load(factory, pool_settings)
        assert used.pid != hanging
        assert not psutil.pid_exists(hanging)
        await used.ping(CALL_S)
        await used.end()


async def test_a_load_that_is_given_up_leaves_no_worker(pool_settings: PoolSettings) -> None:
    """A promotion may be superseded while the standby worker is asked for a sign of life."""
    async with keeping() as factory:
        await (await load(factory, pool_settings)).end()
        standby = await standing_by(factory)
        os.kill(standby, signal.SIGSTOP)
        with anyio.move_on_after(0.1) as given_up:
            await load(factory, pool_settings)
        assert given_up.cancelled_caught
        assert not psutil.pid_exists(standby)


async def test_loads_go_on_while_none_can_be_started(pool_settings: PoolSettings) -> None:
    """As where memory is short: starting one is tried again, whatever went wrong."""
    factory = WorkerFactory(ChildThreads())
    failures: list[Exception] = [OSError("no memory"), ChildStartError("no process")]

    async def start(settings: ProcessSettings) -> Child:
        if failures:
            raise failures.pop()
        return await factory.start("standby-worker", {}, settings)

    standby = StandbyWorker(start, QUICK)
    async with anyio.create_task_group() as host:
        host.start_soon(standby.keep)
        with standby.loading(pool_settings.process):
            assert await standby.take(pool_settings.process) is None
        await until(lambda: standby.pid is not None, SOON_S)
        assert failures == []
        host.cancel_scope.cancel()
