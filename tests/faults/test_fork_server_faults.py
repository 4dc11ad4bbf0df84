"""The fork server of a version's own environment is lost, hangs, or loses its interpreter."""

import functools
import os
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from service.core.environments import Environment
from service.core.versions import StoredVersion
from service.processes.child_threads import ChildThreads
from service.processes.fork_servers import ForkServers
from service.processes.temp import TempFolder
from service.serving.batching.batcher import BatchSettings
from service.serving.model import LoadedModel, ModelHost
from service.workers.factory import WorkerFactory
from service.workers.pool_settings import PoolSettings, ProcessSettings
from tests.support import handmade_model
from tests.support.children import make_environment
from tests.support.fake_models import POOL
from tests.support.fake_workers import a_call
from tests.support.handmade_model import CONTROL
from tests.support.waiting import is_gone, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="a fork server for each environment"),
    pytest.mark.loops("uvloop"),
]
LONG = os.environ.get("HOTSWAP_LONG_FAULTS") == "1"
CALLERS = 4
SOON_S = 60.0
REQUEST_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredVersion:
    """Write a version by hand, once."""
    TempFolder(tmp_path_factory.mktemp("children")).use()
    return handmade_model.make(tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with the packages of ours."""
    folder = tmp_path_factory.mktemp("own")
    make_environment(folder / "environment", sysconfig.get_path("purelib"))
    return folder / "environment"


class Served:
    """A version in its own environment, with callers that count what fails."""

    def __init__(self, model: LoadedModel, factory: WorkerFactory) -> None:
        self.model = model
        self.factory = factory
        self.answered = 0
        self.failed: list[Exception] = []

    async def call(self) -> None:
        """Ask again and again."""
        while True:
            try:
                await self.model.batcher.submit(a_call(1.0))
                self.answered += 1
            except Exception as error:  # noqa: BLE001 - counted
                self.failed.append(error)

    def server(self) -> int:
        """Return the fork server's process."""
        (pid,) = self.factory.fork_servers.pids
        return pid

    async def lose_a_worker(self) -> None:
        """Kill one that has no call in flight."""
        async with self.model.pool.acquire() as worker:
            os.kill(worker.child.pid, signal.SIGKILL)
            await worker.child.lost.wait()

    async def goes_on(self) -> None:
        """Wait until more was answered."""
        before = self.answered
        await until(lambda: self.answered > before + 20, SOON_S)


@asynccontextmanager
async def served(stored: StoredVersion, place: Path, temp_dir: Path) -> AsyncIterator[Served]:
    """Serve it with two workers; see that no call failed, and that nothing is left."""
    process = ProcessSettings(temp_dir, {CONTROL: str(temp_dir)}, 60, 0.2)
    # A fork server that hangs is waited for no longer than this.
    process = msgspec.structs.replace(process, start_timeout_s=3)
    settings: PoolSettings = msgspec.structs.replace(
        POOL, workers=2, load_timeout_s=60, process=process
    )
    factory = WorkerFactory(ChildThreads())
    # What this version needs, and no engine: several fork servers come up in these tests.
    factory.fork_servers = ForkServers(("service.workers.inside.worker",))
    host = ModelHost(factory, settings, BatchSettings(100, 0.002, REQUEST_TIMEOUT_S))
    environment = Environment("faults", str(place / "bin" / "python"), "3.11")
    async with anyio.create_task_group() as tasks:
        model: LoadedModel = await tasks.start(functools.partial(host.run, stored, environment))
        await until(lambda: model.pool.is_whole, SOON_S)
        under = Served(model, factory)
        async with anyio.create_task_group() as callers:
            for _ in range(CALLERS):
                callers.start_soon(under.call)
            await under.goes_on()
            yield under
            await under.goes_on()
            callers.cancel_scope.cancel()
        server, pids = under.server(), model.pool.pids
        model.close()
        await model.closed.wait()
    assert under.failed == []
    assert [pid for pid in (server, *pids) if psutil.pid_exists(pid) and not is_gone(pid)] == []


@pytest.mark.skipif(not LONG, reason="long form: HOTSWAP_LONG_FAULTS=1")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_a_fork_server_of_an_environment_is_lost(
    stored: StoredVersion, place: Path, tmp_path: Path, number: int
) -> None:
    """Its workers go on; the next one that is lost is replaced by another fork server."""
    async with served(stored, place, tmp_path) as under:
        before = under.server()
        os.kill(before, number)
        await under.goes_on()
        await under.lose_a_worker()
        await until(lambda: under.model.pool.is_whole, SOON_S)
        assert under.server() != before
        assert is_gone(before)


async def test_an_environment_is_removed_while_a_version_uses_it(
    stored: StoredVersion, place: Path, tmp_path: Path
) -> None:
    """Its workers go on; none can be replaced, which is told, and tried until it can.

    Its fork server is lost, too: one that lives forks without its interpreter's file.
    """
    async with served(stored, place, tmp_path) as under:
        gone = place.with_name("gone")
        place.rename(gone)  # noqa: ASYNC240 - a moment, and no service's loop
        try:
            os.kill(under.server(), signal.SIGKILL)
            await under.lose_a_worker()
            pool = under.model.pool
            await until(lambda: pool.trouble != "", SOON_S)
            assert "could not be started" in pool.trouble
            assert "No such file or directory" in pool.trouble
            await under.goes_on()
        finally:
            gone.rename(place)
        await until(lambda: pool.is_whole, SOON_S)
        assert pool.trouble == ""
