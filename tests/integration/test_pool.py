"""Real worker processes of one version: kept, replaced, and gone at its end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
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
    ShuttingDownError,
    StoreCorruptError,
)
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child import ChildThreads
from service.serving.batching.batcher import BatchSettings
from service.serving.model import LoadedModel, ModelHost
from service.store import manifest
from service.telemetry.observer import NULL_OBSERVER, NullObserver, Observer
from service.workers.factory import WorkerFactory
from service.workers.occupancy import State, Work
from service.workers.pool import Pool
from service.workers.pool_settings import PoolSettings
from tests.support import handmade_model
from tests.support.fake_workers import a_call
from tests.support.handmade_model import HANGING, KILLING, RAISING
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]

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


async def test_a_worker_may_have_a_second_call_unless_someone_waits_for_it(
    stored: StoredVersion, pool_settings: PoolSettings
) -> None:
    """Who waits in `acquire`, or to have it activate predictors, would never get it."""
    async with running(stored, pool_settings) as pool, anyio.create_task_group() as others:
        (worker,) = members = pool.members
        for other in (ask, pool, 1.0), (pool.activate, "nowhere", CALL_S):
            await until(lambda: members.next() is worker, SOON_S)
            members.begin(worker, Work.CALL)
            assert members.next(State.CALL) is worker
            async with anyio.create_task_group() as calls:
                for number in (1.0, 2.0):
                    calls.start_soon(worker.predict, a_call(number), CALL_S)
            others.start_soon(*other)
            await until(lambda: members.next(State.CALL) is None, SOON_S)
            members.end(worker, Work.CALL)
        await until(lambda: members.next() is worker, SOON_S)
        members.begin(worker, Work.CALL)
        worker.kill()
        assert members.next(State.CALL) is None
        members.end(worker, Work.CALL)


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
    """Whoever still waits is told."""
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
