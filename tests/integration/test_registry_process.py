"""A real process that is asked for the registry: it has ended whenever its answer is given up."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from service.core.errors import FetchFailedError
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.protocol import Nothing
from service.processes.temp import TempFolder
from service.registry.process import RegistryProcess
from service.registry.process_pool import ProcessPool
from tests.support.child_targets import Number
from tests.support.waiting import is_gone, until

START_S = 60.0
CALL_S = 20.0
SOON_S = 0.2
HANGING = Number(600)


@pytest.fixture(scope="module", autouse=True)
def short_temp_dir(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Put nothing of these tests' fork server anywhere else."""
    TempFolder(tmp_path_factory.mktemp("children")).use()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[RegistryProcess]:
    """Hold one that has answered once."""
    spec = ChildSpec("tests.support.child_targets:operations", "registry-tested", b"", tmp_path)
    process = RegistryProcess(spec, ChildThreads(), START_S, FetchFailedError)
    assert (await process.ask("pid", Nothing(), Number, CALL_S)).number == process.pid
    yield process
    await process.close()


async def test_a_call_that_takes_too_long(process: RegistryProcess) -> None:
    """It writes no more when its files are removed; the next call has another process."""
    pid = process.pid
    assert pid is not None
    with pytest.raises(FetchFailedError, match=r"no answer within 0\.2 s"):
        await process.ask("sleep", HANGING, Nothing, SOON_S)
    assert is_gone(pid)
    assert (await process.ask("pid", Nothing(), Number, CALL_S)).number != pid


async def test_a_call_that_is_cancelled(process: RegistryProcess) -> None:
    """The same, for a download that nobody waits for any more."""
    pid = process.pid
    assert pid is not None
    with anyio.move_on_after(SOON_S) as scope:
        await process.ask("sleep", HANGING, Nothing, CALL_S)
    assert scope.cancelled_caught
    assert is_gone(pid)


async def test_real_processes_of_a_pool(tmp_path: Path) -> None:
    """Calls run beside each other; the idle end, and so does one whose call is cancelled."""
    threads = ChildThreads()
    spec = ChildSpec("tests.support.child_targets:operations", "pooled", b"", tmp_path)
    pool = ProcessPool(
        2, lambda each: RegistryProcess(each, threads, START_S, FetchFailedError), SOON_S
    )
    pids: set[float] = set()

    async def ask() -> None:
        await pool.ask(spec, "sleep", Number(0.1), Nothing, CALL_S)
        pids.update(pool.pids)

    async with anyio.create_task_group() as calls:
        calls.start_soon(ask)
        calls.start_soon(ask)
    assert len(pids) == 2
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.run)
        await until(lambda: all(is_gone(int(pid)) for pid in pids), CALL_S)
        assert not pool.pids
        with anyio.move_on_after(2 * SOON_S):
            await pool.ask(spec, "sleep", HANGING, Nothing, CALL_S)
        assert not pool.pids
        tasks.cancel_scope.cancel()
