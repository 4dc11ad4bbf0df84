import os
import stat
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import filelock
import pytest

from service.core.errors import FetchFailedError
from service.core.versions import ModelVersion
from service.store import manifest
from service.store.artifact_store import ArtifactStore
from tests.support.fake_source import a_version
from tests.support.stores import Fetcher, left_behind, open_store
from tests.support.waiting import until

LIMIT_S = 30
LONG_READ_BYTES = 32 * 2**30
"""Of a file that is all holes: it takes no room, and half a minute or more to hash."""


async def test_a_version_is_fetched_verified_and_renamed_into_place(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """Its folder holds the model, the manifest and the version; nothing is left aside."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    assert stored.path == tmp_path / "versions" / a_version(1).key / "model"
    assert (stored.path / "MLmodel").read_text() == "version: 1"
    assert stored.digest == manifest.build(stored.path).digest
    manifest.verify_stored(stored.path, stored.digest)
    assert left_behind(store) == []


async def test_files_are_made_read_only(tmp_path: Path, fetcher: Fetcher) -> None:
    """A model that writes into its own folder finds out."""
    stored = await (await open_store(tmp_path, fetcher)).ensure(a_version(1))
    for file in stored.path.parent.rglob("*"):
        if file.is_file():
            assert not file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


async def test_rights_that_come_with_a_download_are_not_kept(tmp_path: Path) -> None:
    """What is stored is this user's alone; MLflow copies rights from where artifacts are."""

    async def fetch(_: ModelVersion, folder: Path) -> Path:
        (folder / "code").mkdir()
        for name in ("MLmodel", "code/m.py"):
            (folder / name).touch()
        for name in ("MLmodel", "code/m.py", "code", ""):
            (folder / name).chmod(0o777)
        return folder

    stored = await (await open_store(tmp_path, fetch)).ensure(a_version(1))
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in stored.path.rglob("*")}
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o700
    assert found == {"MLmodel": 0o400, "code": 0o700, "m.py": 0o400}


async def test_what_is_there_is_not_fetched_again(tmp_path: Path, fetcher: Fetcher) -> None:
    """Nor by the store of the next start."""
    first = await (await open_store(tmp_path, fetcher)).ensure(a_version(1))
    assert await (await open_store(tmp_path, fetcher)).ensure(a_version(1)) == first
    assert fetcher.fetched == ["1"]


async def test_the_same_number_of_a_registry_made_anew_is_another_version(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """A version's key holds everything that tells it apart."""
    store = await open_store(tmp_path, fetcher)
    first = await store.ensure(a_version(1, created_ms=1))
    assert (await store.ensure(a_version(1, created_ms=2))).path != first.path
    assert fetcher.fetched == ["1", "1"]


@pytest.mark.parametrize("damage", ["changed", "extra", "missing", "manifest", "record"])
async def test_a_corrupt_version_is_fetched_again(
    tmp_path: Path, fetcher: Fetcher, damage: str
) -> None:
    """Whatever differs from what was recorded."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    victim = {
        "changed": stored.path / "MLmodel",
        "extra": stored.path / "code" / "extra.pyc",
        "missing": stored.path / "code" / "m.py",
        "manifest": stored.path.parent / "manifest.json",
        "record": stored.path.parent / "version.json",
    }[damage]
    if victim.exists():
        victim.chmod(0o600)
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_text("damage")
    assert await store.ensure(a_version(1)) == stored
    assert fetcher.fetched == ["1", "1"]
    manifest.verify_stored(stored.path, stored.digest)
    assert left_behind(store) == []


async def test_two_services_that_want_a_version_at_once_fetch_it_once(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """The second waits for the first, and finds it."""
    one, two = await open_store(tmp_path, fetcher), await open_store(tmp_path, fetcher)
    found = []

    async def ensure(store: ArtifactStore) -> None:
        found.append(await store.ensure(a_version(1)))

    fetcher.go_on = anyio.Event()
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ensure, one)
            await fetcher.reached.wait()
            tasks.start_soon(ensure, two)
            fetcher.go_on.set()
    assert found[0] == found[1]
    assert fetcher.fetched == ["1"]


async def test_a_cancelled_fetch_leaves_nothing_behind(tmp_path: Path, fetcher: Fetcher) -> None:
    """Neither files, nor a lock that the next one waits for."""
    store = await open_store(tmp_path, fetcher)
    fetcher.go_on = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.ensure, a_version(1))
        with anyio.fail_after(LIMIT_S):
            await fetcher.reached.wait()
        tasks.cancel_scope.cancel()
    assert left_behind(store) == []
    assert await store.known() == []
    fetcher.go_on = None
    with anyio.fail_after(LIMIT_S):
        await store.ensure(a_version(1))


async def test_a_failed_fetch_leaves_nothing_behind(tmp_path: Path) -> None:
    """And its error arrives as it was raised."""

    async def fetch(_: ModelVersion, folder: Path) -> Path:
        (folder / "half").touch()
        raise FetchFailedError("cut short")

    store = await open_store(tmp_path, fetch)
    with pytest.raises(FetchFailedError, match="cut short"):
        await store.ensure(a_version(1))
    assert left_behind(store) == []
    assert await store.known() == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
async def test_a_model_with_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """It would be loaded from where anyone may change it."""

    async def fetch(_: ModelVersion, folder: Path) -> Path:
        (folder / "MLmodel").symlink_to("/etc/hostname")
        return folder

    store = await open_store(tmp_path / "cache", fetch)
    with pytest.raises(FetchFailedError, match="leads out"):
        await store.ensure(a_version(1))
    assert left_behind(store) == []


async def test_a_fetch_to_elsewhere_is_refused(tmp_path: Path) -> None:
    """Only what was fetched into the folder that was given is taken, since it is moved."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def fetch(_: ModelVersion, __: Path) -> Path:
        return elsewhere

    with pytest.raises(FetchFailedError, match="not where it belongs"):
        await (await open_store(tmp_path / "cache", fetch)).ensure(a_version(1))
    assert elsewhere.exists()


async def test_leftovers_of_the_dead_are_removed_at_open(tmp_path: Path, fetcher: Fetcher) -> None:
    """Half a fetch, and half a removal with read-only files."""
    for name in (a_version(1).key, f"{a_version(2).key}~abc"):
        (tmp_path / "tmp" / name).mkdir(parents=True)
        (tmp_path / "tmp" / name / "MLmodel").touch(0o400)
    assert left_behind(await open_store(tmp_path, fetcher)) == []


async def test_what_is_being_fetched_is_no_leftover(tmp_path: Path, fetcher: Fetcher) -> None:
    """Another service's open leaves it alone."""
    store = await open_store(tmp_path, fetcher)
    fetcher.go_on = anyio.Event()
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.ensure, a_version(1))
            await fetcher.reached.wait()
            assert left_behind(await open_store(tmp_path, fetcher)) == [a_version(1).key]
            fetcher.go_on.set()
    assert len(await store.known()) == 1


async def test_a_half_removed_version_is_not_known(tmp_path: Path, fetcher: Fetcher) -> None:
    """A folder without its record is no version, and is fetched anew."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    (stored.path.parent / "version.json").chmod(0o600)
    (stored.path.parent / "version.json").unlink()
    assert await store.known() == []
    assert await store.ensure(a_version(1)) == stored


async def test_a_cache_folder_that_is_none_is_told_in_a_sentence(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """It names the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(FetchFailedError, match=r"CACHE_DIR \(.*\) is no folder"):
        await open_store(tmp_path / "file" / "cache", fetcher)


async def test_an_unwritable_cache_folder_is_told_in_a_sentence(
    tmp_path: Path, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so the refusal is played."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(FetchFailedError, match="make it writable for this service"):
        await open_store(tmp_path, fetcher)


async def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path, fetcher: Fetcher) -> None:
    """And what was brought goes again."""

    async def fetch(version: ModelVersion, folder: Path) -> Path:
        await fetcher(version, folder)
        return folder

    store = await open_store(tmp_path, fetch)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(path: Path, *_: object) -> int:
            raise OSError(28, "No space left on device", str(path))

        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(FetchFailedError, match="no space left"):
            await store.ensure(a_version(1))
    assert left_behind(store) == []


async def test_a_lock_that_another_service_never_gives_back_is_told(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """It may have been stopped in the middle of a fetch; the use of a version is noted later."""
    store = ArtifactStore(tmp_path, 3, fetcher, lock_limit_s=0.2)
    await store.open()
    stored = await store.ensure(a_version(1))
    locks = tmp_path / "locks"
    with (
        filelock.FileLock(locks / f"{a_version(1).key}.lock"),
        pytest.raises(FetchFailedError, match="another service has held the lock"),
    ):
        await store.ensure(a_version(1))
    with filelock.FileLock(locks / "state.lock"):
        assert await store.ensure(a_version(1)) == stored


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes in folders")
@pytest.mark.parametrize("what", ["folder", "pipe"])
@pytest.mark.parametrize("name", ["version.json", "manifest.json", "model/MLmodel"])
async def test_what_is_no_file_in_a_version_holds_up_nobody(
    tmp_path: Path, fetcher: Fetcher, name: str, what: str
) -> None:
    """It is damage as any other: the version is fetched again."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    file = stored.path.parent / name
    file.unlink()
    await anyio.to_thread.run_sync(Path.mkdir if what == "folder" else os.mkfifo, file)
    with anyio.fail_after(LIMIT_S):
        assert await store.ensure(a_version(1)) == stored
    assert fetcher.fetched == ["1", "1"]


async def test_leftovers_that_cannot_be_removed_stop_no_start(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """The next start tries again."""
    (tmp_path / "tmp" / "m-1-x~1").mkdir(parents=True)
    (tmp_path / "locks" / "m-1-x.lock").mkdir(parents=True)
    assert left_behind(await open_store(tmp_path, fetcher)) == ["m-1-x~1"]


@pytest.mark.skipif(sys.platform == "win32", reason="files have no holes there")
async def test_a_version_that_is_wanted_no_more_is_not_read_to_its_end(tmp_path: Path) -> None:
    """To hash what was downloaded takes long where it is large; the next version waits for it."""

    async def fetch(_: ModelVersion, destination: Path) -> Path:
        with (destination / "weights").open("wb") as weights:
            weights.truncate(LONG_READ_BYTES)
        return destination

    store = await open_store(tmp_path, fetch)
    read = tmp_path / "tmp" / a_version(1).key / "version" / "model" / "weights"
    async with anyio.create_task_group() as fetches:
        fetches.start_soon(store.ensure, a_version(1))
        await until(read.exists, LIMIT_S)
        fetches.cancel_scope.cancel()
        began = anyio.current_time()
    assert anyio.current_time() - began < 1
    assert left_behind(store) == []
