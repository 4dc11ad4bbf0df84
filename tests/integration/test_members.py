"""Real workers keep to what the batcher relies on, as the fakes do."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from service.core.versions import StoredVersion
from service.processes.child_threads import ChildThreads
from service.workers.factory import WorkerFactory
from service.workers.members import Members
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support.members_contract import LIMIT_S, MembersContract, Woken
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fork server's")


class TestPool(MembersContract):
    """Two worker processes."""

    @pytest.fixture(autouse=True)
    def version(self, stored: StoredVersion, pool_settings: PoolSettings) -> None:
        """Have a version to load, and no heartbeat while a test looks."""
        process = msgspec.structs.replace(pool_settings.process, heartbeat_interval_s=60.0)
        self.stored = stored
        self.settings = msgspec.structs.replace(pool_settings, workers=2, process=process)

    @asynccontextmanager
    async def hosted(self) -> AsyncIterator[tuple[Members[Any], Woken]]:
        """Host a pool."""
        woken: list[None] = []
        factory = WorkerFactory(ChildThreads())
        pool = Pool(self.stored, factory, self.settings, on_free=lambda: woken.append(None))
        async with anyio.create_task_group() as host:
            await host.start(pool.run)
            await until(lambda: pool.size == self.settings.workers, LIMIT_S)
            yield pool.members, lambda: len(woken)
            pool.close()
