"""Pools of real worker processes, and what an observer is told of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil

from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.telemetry.observer import NULL_OBSERVER, NullObserver, Observer
from service.workers.factory import WorkerFactory
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support.fake_workers import a_call
from tests.support.waiting import until

CALL_S = 20.0
SOON_S = 60.0
"""Ten times what replacing a worker takes on a busy machine."""


class WorkerEvents(NullObserver):
    """Keeps what it is told of workers."""

    def __init__(self) -> None:
        self.ready_s: list[float] = []
        self.lost: list[str] = []
        self.not_replaced: list[str] = []

    def worker_ready(self, version: ModelVersion, duration_s: float) -> None:
        """Keep how long it took."""
        del version
        self.ready_s.append(duration_s)

    def worker_lost(self, version: ModelVersion, reason: str) -> None:
        """Keep how it ended."""
        del version
        self.lost.append(reason)

    def worker_not_replaced(self, version: ModelVersion, reason: str) -> None:
        """Keep why."""
        del version
        self.not_replaced.append(reason)


def a_pool(
    stored: StoredVersion, settings: PoolSettings, observer: Observer = NULL_OBSERVER
) -> Pool:
    """Return the pool of a version."""
    return Pool(stored, WorkerFactory(ChildThreads()), settings, observer=observer)


@asynccontextmanager
async def running(
    stored: StoredVersion, settings: PoolSettings, observer: Observer = NULL_OBSERVER
) -> AsyncIterator[Pool]:
    """Host a pool and check that nothing is left of it."""
    pool = a_pool(stored, settings, observer)
    seen: set[int] = set()
    async with anyio.create_task_group() as host:
        await host.start(pool.run)
        await until(lambda: pool.size == settings.workers, SOON_S)
        seen.update(pool.pids)
        yield pool
        seen.update(pool.pids)
        pool.close()
    assert pool.size == 0
    assert [pid for pid in seen if psutil.pid_exists(pid)] == []


async def ask(pool: Pool, *rows: float, timeout_s: float = CALL_S) -> bytes:
    """Return the buffer of the answers."""
    async with pool.acquire() as worker:
        predictions = await worker.predict(a_call(*rows), timeout_s)
    column = predictions.columns[0]
    assert isinstance(column, bytes)
    return column


def answer(*rows: float) -> bytes:
    """Return the buffer of the right answers."""
    column = a_call(*(row + 0.5 for row in rows)).columns[0]
    assert isinstance(column, bytes)
    return column
