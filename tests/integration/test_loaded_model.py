"""A whole loaded version on real worker processes: pool, contract and queue end together."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import psutil
import pytest

from service.core.errors import ShuttingDownError
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.serving.batching.batcher import BatchSettings
from service.serving.model import LoadedModel, ModelHost
from service.telemetry.observer import NULL_OBSERVER, NullObserver, Observer
from service.workers.factory import WorkerFactory
from service.workers.pool_settings import PoolSettings
from tests.support.fake_workers import a_call
from tests.support.handmade_model import HANGING
from tests.support.pools import CALL_S, SOON_S
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]


@asynccontextmanager
async def hosted(
    stored: StoredVersion, settings: PoolSettings, observer: Observer = NULL_OBSERVER
) -> AsyncIterator[LoadedModel]:
    """Host a whole model: pool, contract and batcher."""
    factory = WorkerFactory(ChildThreads())
    batching = BatchSettings(100, 0.002, CALL_S)
    host = ModelHost(factory, settings, batching, observer=observer)
    async with anyio.create_task_group() as tasks:
        model: LoadedModel = await tasks.start(partial(host.run, stored))
        await until(lambda: model.can_answer, SOON_S)
        yield model
        model.close()
        await model.closed.wait()


async def test_a_models_end_ends_its_workers_and_its_queue(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """What still waits is told."""
    async with hosted(stored, pool_settings) as model, anyio.create_task_group() as callers:
        (pid,) = model.pool.pids
        told: list[Exception] = []

        async def hang() -> None:
            try:
                await model.batcher.submit(a_call(HANGING))
            except ShuttingDownError as error:
                told.append(error)

        callers.start_soon(hang)
        await until(lambda: model.pool.members.next() is None, SOON_S)
        model.close()
        with anyio.fail_after(SOON_S):
            await model.closed.wait()
        assert not psutil.pid_exists(pid)
    assert len(told) == 1


async def test_a_version_that_collapses_ends_nothing_else_and_says_so_immediately(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """A defect of ours in keeping workers is that version's end, not the service's."""

    class Defect(NullObserver):
        def worker_lost(self, version: ModelVersion, reason: str) -> None:
            raise ZeroDivisionError(version, reason)

    async with hosted(stored, pool_settings, Defect()) as model:
        os.kill(model.pool.pids[0], signal.SIGKILL)
        with anyio.fail_after(SOON_S):
            await model.closed.wait()
        assert not model.can_answer
        began = asyncio.get_running_loop().time()
        with pytest.raises(ShuttingDownError):
            await model.batcher.submit(a_call(1.0))
        assert asyncio.get_running_loop().time() - began < 1
