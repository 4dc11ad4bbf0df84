"""Real worker processes of one version: kept, replaced, and gone at its end."""

import os
import signal
import sys
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    FetchFailedError,
    ModelFailedError,
    StoreCorruptError,
)
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child_threads import ChildThreads
from service.store import manifest
from service.workers.factory import WorkerFactory
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support import handmade_model
from tests.support.fake_workers import a_call
from tests.support.handmade_model import HANGING, KILLING, RAISING
from tests.support.pools import CALL_S, SOON_S, WorkerEvents, a_pool, answer, ask, running
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]


async def test_workers_answer_and_are_held_by_one_call_each(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """Two of them at the same time, a third call waits."""
    settings = msgspec.structs.replace(pool_settings, workers=2)
    async with running(stored, settings) as pool:
        async with pool.acquire() as first, pool.acquire() as second:
            assert first is not second
            with anyio.move_on_after(0.3) as scope:
                await ask(pool, 1.0)
            assert scope.cancelled_caught
        assert await ask(pool, 1.0, 2.0) == answer(1.0, 2.0)
        assert (await pool.smoke(CALL_S)).refusal == ""


async def test_a_model_that_raises_keeps_its_worker(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """It is the caller's error alone."""
    async with running(stored, pool_settings) as pool:
        before = pool.pids
        with pytest.raises(ModelFailedError, match="ValueError: as told"):
            await ask(pool, RAISING)
        assert await ask(pool, 1.0) == answer(1.0)
        assert pool.pids == before


async def test_a_worker_that_is_lost_in_a_call_is_replaced(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """Its caller is told what it printed last, the next one is answered."""
    async with running(stored, pool_settings) as pool:
        before = pool.pids
        with pytest.raises(ChildLostError) as lost:
            await ask(pool, KILLING)
        assert lost.value.last_lines[-1] == "as told"
        with anyio.fail_after(SOON_S):
            assert await ask(pool, 1.0) == answer(1.0)
        assert set(pool.pids).isdisjoint(before)
        assert pool.restarts == 1


async def test_a_worker_that_hangs_in_a_call_is_replaced(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """At the call's own limit."""
    async with running(stored, pool_settings) as pool:
        with pytest.raises(ChildTimeoutError):
            await ask(pool, HANGING, timeout_s=0.3)
        with anyio.fail_after(SOON_S):
            assert await ask(pool, 1.0) == answer(1.0)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_idle_worker_that_ends_or_hangs_is_replaced_before_anyone_asks(
    stored: StoredVersion, pool_settings: PoolSettings, sent: signal.Signals
) -> None:
    """By its pipe or its heartbeat; meanwhile it does not count as alive."""
    async with running(stored, pool_settings) as pool:
        (before,) = pool.pids
        os.kill(before, sent)
        await until(lambda: pool.size == 0, SOON_S)
        await until(lambda: pool.size == 1 and pool.pids != [before], SOON_S)
        assert await ask(pool, 1.0) == answer(1.0)


async def test_no_worker_that_has_just_ended_is_handed_out(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """A request would lose it for nothing."""
    process = msgspec.structs.replace(pool_settings.process, heartbeat_interval_s=60.0)
    settings = msgspec.structs.replace(pool_settings, process=process)
    async with running(stored, settings) as pool:
        async with pool.acquire() as worker:
            pass
        worker.kill()
        with anyio.fail_after(SOON_S):
            assert await ask(pool, 1.0) == answer(1.0)


async def test_replacing_is_tried_until_it_works(
    stored: StoredVersion, pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """What loaded once may fail for a while, as on a full machine."""
    seen = WorkerEvents()
    async with running(stored, pool_settings, seen) as pool:
        (tmp_path / "refuse").touch()
        os.kill(pool.pids[0], signal.SIGKILL)
        await until(lambda: len(seen.not_replaced) >= 2, SOON_S)
        assert pool.size == 0
        with pytest.raises(ChildTimeoutError, match="no worker"):
            await pool.smoke(0.1)
        (tmp_path / "refuse").unlink()
        await until(lambda: pool.size == 1, SOON_S)
        assert await ask(pool, 1.0) == answer(1.0)
    assert seen.lost == ["it ended by signal 9"]
    assert all("not this time" in reason for reason in seen.not_replaced)
    assert len(seen.ready_s) == 2
    assert min(seen.ready_s) > 0


async def test_a_version_that_does_not_load_leaves_nothing(
    stored: StoredVersion, pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """What it raised is raised before anything is reported."""
    (tmp_path / "refuse").touch()
    children = psutil.Process().children(recursive=True)
    async with anyio.create_task_group() as host:
        with pytest.raises(ChildRaisedError, match="not this time"):
            await host.start(a_pool(stored, pool_settings).run)
        damaged = msgspec.structs.replace(stored, digest="another")
        with pytest.raises(StoreCorruptError):
            await host.start(a_pool(damaged, pool_settings).run)
    left = [child for child in psutil.Process().children(recursive=True) if child not in children]
    kept = ("forkserver", "guardian.py", "resource_tracker")
    assert [child for child in left if not any(k in " ".join(child.cmdline()) for k in kept)] == []


async def _lose_worker(pool: Pool) -> None:
    """Kill the one worker and wait until another one answers."""
    (lost,) = pool.pids
    os.kill(lost, signal.SIGKILL)
    await until(lambda: pool.size == 1 and pool.pids != [lost], SOON_S)
    assert await ask(pool, 1.0) == answer(1.0)


async def test_a_model_that_writes_beside_its_artifacts(
    stored: StoredVersion, pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """It is told of the load; the store stays as it was, and nothing stays of what was written."""
    (tmp_path / "write").touch()
    pool = a_pool(stored, pool_settings)
    async with anyio.create_task_group() as host:
        loaded = await host.start(pool.run)
        assert "(MLmodel, cache.bin)" in loaded.writes.told
        assert not loaded.writes.reached_store
        await until(lambda: pool.size == 1, SOON_S)
        await _lose_worker(pool)
        assert pool.trouble == ""
        manifest.verify_stored(stored.path, stored.digest)
        pool.close()
    assert list((tmp_path / "models").iterdir()) == []


async def test_a_model_that_changes_a_large_file_in_place(
    pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """The store is restored as soon as that is seen, and the next workers get copies.

    While it can't be restored, the pool says why.
    """
    stored = handmade_model.make(tmp_path / "stored")
    weights = stored.path / handmade_model.WEIGHTS
    fetched, is_away = weights.read_bytes(), False

    async def restore(_: ModelVersion) -> StoredVersion:
        if is_away:
            raise FetchFailedError("the artifact store is away")
        weights.unlink()
        weights.write_bytes(fetched)
        return stored

    (tmp_path / "change").touch()
    pool = Pool(stored, WorkerFactory(ChildThreads()), pool_settings, restore=restore)
    async with anyio.create_task_group() as host:
        await host.start(pool.run)
        manifest.verify_stored(stored.path, stored.digest)
        await until(lambda: pool.size == 1, SOON_S)
        await _lose_worker(pool)
        manifest.verify_stored(stored.path, stored.digest)
        # By somebody else, this time.
        weights.write_bytes(b"damaged")
        is_away = True
        os.kill(pool.pids[0], signal.SIGKILL)
        await until(lambda: "the artifact store is away" in pool.trouble, SOON_S)
        assert pool.size == 0
        is_away = False
        await until(lambda: pool.size == 1, SOON_S)
        assert pool.trouble == ""
        pool.close()


async def test_a_worker_that_is_loaded_apart(
    stored: StoredVersion, pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """No request gets it, and its files go with it."""
    async with running(stored, pool_settings) as pool:
        before, folders = pool.pids, set((tmp_path / "models").iterdir())
        async with pool.load_apart() as worker:
            assert (await worker.predict(a_call(1.0), CALL_S)).rows == 1
            pid = worker.child.pid
            assert pool.pids == before
        assert not psutil.pid_exists(pid)
        assert set((tmp_path / "models").iterdir()) == folders
    assert list((tmp_path / "models").iterdir()) == []


async def test_a_load_that_is_cut_short_while_the_store_is_restored(
    pool_settings: PoolSettings, tmp_path: Path
) -> None:
    """Its worker ends, and its files go with it."""
    stored = handmade_model.make(tmp_path / "stored")
    (tmp_path / "change").touch()
    restoring = anyio.Event()

    async def restore(_: ModelVersion) -> StoredVersion:
        restoring.set()
        await anyio.sleep_forever()
        return stored

    pool = Pool(stored, WorkerFactory(ChildThreads()), pool_settings, restore=restore)
    async with anyio.create_task_group() as host:
        host.start_soon(host.start, pool.run)
        with anyio.fail_after(SOON_S):
            await restoring.wait()
        await until(lambda: pool.size == 1, SOON_S)
        (pid,) = pool.pids
        host.cancel_scope.cancel()
    assert not psutil.pid_exists(pid)
    assert list((tmp_path / "models").iterdir()) == []
