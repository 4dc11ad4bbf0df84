import json
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import filelock
import msgspec
import pytest

from service.core.errors import FetchFailedError, StateUnreadableError, StoreCorruptError
from service.core.versions import ModelVersion
from service.store import manifest
from service.store.artifact_store import ArtifactStore
from service.store.pointer_state import PointerState
from tests.support.fake_source import a_version

Fetch = Callable[[ModelVersion, Path], Awaitable[Path]]

LIMIT_S = 30

USE_IN_ANOTHER_PROCESS = """
import sys, anyio, msgspec
from pathlib import Path
from service.core.versions import ModelVersion
from service.store.artifact_store import ArtifactStore

async def main():
    async def fetch(version, folder): raise AssertionError("nothing to fetch")
    store = ArtifactStore(Path(sys.argv[1]), 1, fetch)
    in_use = await store.ensure_in_use(msgspec.json.decode(sys.argv[2], type=ModelVersion))
    print("holding", flush=True)
    await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main)
"""


class Fetcher:
    """Write a tiny model, and count how often."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.reached = anyio.Event()
        self.go_on: anyio.Event | None = None

    async def __call__(self, version: ModelVersion, folder: Path) -> Path:
        """Fetch, and wait for `go_on` where there is one."""
        self.fetched.append(version.version)
        (folder / "MLmodel").write_text(f"version: {version.version}")
        (folder / "code").mkdir()
        (folder / "code" / "m.py").write_text("x = 1")
        self.reached.set()
        if self.go_on is not None:
            await self.go_on.wait()
        return folder


@pytest.fixture
def fetcher() -> Fetcher:
    """Give a fetch that works at once."""
    return Fetcher()


async def open_store(cache_dir: Path, fetch: Fetch, keep: int = 3) -> ArtifactStore:
    """Give a store as a service's start does."""
    store = ArtifactStore(cache_dir, keep, fetch)
    await store.open()
    return store


def left_behind(store: ArtifactStore) -> list[str]:
    """Return what lies in tmp."""
    return [item.name for item in (store.cache_dir / "tmp").iterdir()]


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


async def test_prune_keeps_the_newest_by_last_use(tmp_path: Path, fetcher: Fetcher) -> None:
    """An old version that was wanted again is new."""
    store = await open_store(tmp_path, fetcher, keep=2)
    for number in (1, 2, 3, 1):
        await store.ensure(a_version(number))
    assert await store.prune() == [a_version(2).key]
    assert [stored.version.version for stored in await store.known()] == ["1", "3"]
    assert left_behind(store) == []


async def test_what_was_compiled_goes_with_its_version(tmp_path: Path, fetcher: Fetcher) -> None:
    """And with it alone; what is there of a version that is not goes at the next start."""
    store = await open_store(tmp_path, fetcher, keep=1)
    for number in (1, 2):
        await store.ensure(a_version(number))
    for number in (1, 2, 3):
        folder = tmp_path / "compiled" / a_version(number).key / "f1"
        folder.mkdir(parents=True)
        (folder / "report.json").touch()
    assert await store.prune() == [a_version(1).key]
    kept = {item.name for item in (tmp_path / "compiled").iterdir()}
    assert kept == {a_version(2).key, a_version(3).key}
    await open_store(tmp_path, fetcher)
    assert [item.name for item in (tmp_path / "compiled").iterdir()] == [a_version(2).key]


async def test_the_order_of_uses_does_not_rest_on_the_clock(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """Files from the future change nothing."""
    store = await open_store(tmp_path, fetcher, keep=1)
    old = await store.ensure(a_version(1))
    await store.ensure(a_version(2))
    for path in (old.path, old.path.parent):
        os.utime(path, (4e9, 4e9))
    assert await store.prune() == [a_version(1).key]


async def test_prune_spares_what_is_in_use(tmp_path: Path, fetcher: Fetcher) -> None:
    """By this service or another one in this process, until it is released."""
    store, other = await open_store(tmp_path, fetcher, keep=1), await open_store(tmp_path, fetcher)
    async with await other.use(await other.ensure(a_version(1))):
        async with await store.ensure_in_use(a_version(1)):
            await store.ensure(a_version(2))
            assert await store.prune() == []
        assert await store.prune() == []
    assert await store.prune() == [a_version(1).key]
    assert list((tmp_path / "locks" / "in-use" / a_version(1).key).iterdir()) == []


async def test_a_lock_taken_in_one_thread_is_released_in_another(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """Releasing twice is fine, too."""
    store = await open_store(tmp_path, fetcher, keep=1)
    in_use = await store.ensure_in_use(a_version(1))
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(in_use.release)
    await store.ensure(a_version(2))
    assert await store.prune() == [a_version(1).key]


async def test_prune_spares_another_processs_version_until_it_is_killed(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """A crash releases its locks, and nothing else does."""
    store = await open_store(tmp_path, fetcher, keep=1)
    stored = await store.ensure(a_version(1))
    process = subprocess.Popen(  # noqa: ASYNC220 - its end is part of the test
        [
            *(sys.executable, "-W", "ignore", "-c", USE_IN_ANOTHER_PROCESS),
            *(str(tmp_path), json.dumps(_fields(stored.version))),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"holding"
        await store.ensure(a_version(2))
        assert await store.prune() == []
    finally:
        process.kill()
        process.communicate()
    assert await store.prune() == [a_version(1).key]


def _fields(version: ModelVersion) -> dict[str, object]:
    return {field: getattr(version, field) for field in version.__struct_fields__}


async def test_a_version_that_was_pruned_before_its_use_is_told(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """And `ensure_in_use` fetches it again."""
    store = await open_store(tmp_path, fetcher, keep=1)
    stored = await store.ensure(a_version(1))
    await store.ensure(a_version(2))
    await store.prune()
    with pytest.raises(StoreCorruptError, match="pruned"):
        await store.use(stored)
    async with await store.ensure_in_use(a_version(1)) as in_use:
        assert in_use.stored == stored


async def test_the_last_known_good_version_of_a_pointer_survives_restarts(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """Each pointer has its own, and another registry's pointer of the same name, too."""
    store = await open_store(tmp_path, fetcher)
    one, two = await store.ensure(a_version(1)), await store.ensure(a_version(2))
    await store.mark_good(one, "models:/m/Production")
    await store.mark_good(two, "models:/m/Production")
    await store.mark_good(one, "models:/m@champion")
    again = await open_store(tmp_path, fetcher)
    assert await again.last_good("models:/m/Production") == two
    assert await again.last_good("models:/m@champion") == one
    assert await again.last_good("models:/other/1") is None


async def test_the_last_known_good_version_is_not_pruned(tmp_path: Path, fetcher: Fetcher) -> None:
    """It is what serves when the registry is down; the one before it goes."""
    store = await open_store(tmp_path, fetcher, keep=1)
    for number in (1, 2):
        await store.mark_good(await store.ensure(a_version(number)), "models:/m/Production")
    await store.ensure(a_version(3))
    assert await store.prune() == [a_version(1).key]


async def test_a_damaged_last_known_good_version_is_none(tmp_path: Path, fetcher: Fetcher) -> None:
    """Nothing is loaded whose manifest does not match."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    await store.mark_good(stored, "models:/m/1")
    (stored.path / "MLmodel").chmod(0o600)
    (stored.path / "MLmodel").write_text("damage")
    assert await store.last_good("models:/m/1") is None
    assert await store.known() == []


def damage(folder: Path, name: str, how: str) -> None:
    """Put nonsense, or a folder, in a state file's place."""
    for file in folder.glob(name):
        file.unlink()
        if how == "folder":
            file.mkdir()
        else:
            file.write_bytes(b"\x00")


@pytest.mark.parametrize("how", ["nonsense", "folder"])
async def test_a_damaged_order_of_uses_is_as_good_as_none(
    tmp_path: Path, fetcher: Fetcher, how: str
) -> None:
    """It is a hint; what is on disk speaks for itself."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    damage(tmp_path, "uses.json", how)
    assert await store.known() == [stored]
    assert await store.ensure(a_version(1)) == stored
    assert json.loads((tmp_path / "uses.json").read_text()) == {a_version(1).key: 1}


@pytest.mark.parametrize("how", ["nonsense", "folder"])
async def test_with_a_damaged_file_of_needs_nothing_is_pruned(
    tmp_path: Path, fetcher: Fetcher, how: str
) -> None:
    """It is told, and over once the pointer's service has written it anew."""
    store = await open_store(tmp_path, fetcher, keep=1)
    first, second = await store.ensure(a_version(1)), await store.ensure(a_version(2))
    await store.mark_good(first, "models:/m/1")
    damage(tmp_path, "needs/*.json", how)
    with pytest.raises(StateUnreadableError):
        await store.last_good("models:/m/1")
    assert await store.prune() == []
    assert "nothing is pruned" in store.trouble
    await store.mark_good(second, "models:/m/1")
    assert await store.last_good("models:/m/1") == second
    assert await store.prune() == [a_version(1).key]
    assert store.trouble == ""


async def test_as_many_versions_of_each_model_are_kept(tmp_path: Path, fetcher: Fetcher) -> None:
    """Of another registry's or workspace's, too."""
    store = await open_store(tmp_path, fetcher, keep=1)
    others = [
        msgspec.structs.replace(a_version(number), **{field: "another"})
        for field in ("name", "registry", "workspace")
        for number in (1, 2)
    ]
    for version in (a_version(1), *others, a_version(2)):
        await store.ensure(version)
    assert set(await store.prune()) == {a_version(1).key, *(v.key for v in others[::2])}


@pytest.mark.parametrize("why", ["good", "serving", "promoted", "pinned"])
async def test_what_a_stopped_service_needs_is_not_pruned(
    tmp_path: Path, fetcher: Fetcher, why: str
) -> None:
    """Until nobody has used its pointer for months; its pin stays even then."""
    theirs = await open_store(tmp_path, fetcher, keep=1)
    stored = await theirs.ensure(a_version(1))
    if why == "good":
        await theirs.mark_good(stored, "theirs")
    elif why == "serving":
        await theirs.mark_serving(stored.version, "theirs")
    elif why == "promoted":
        await theirs.mark_promoted(stored.version, "theirs")
    else:
        await PointerState(tmp_path, "theirs").remember_pin(stored.version)
    ours = await open_store(tmp_path, fetcher, keep=1)
    for number in (2, 3, 4):
        await ours.mark_good(await ours.ensure(a_version(number)), "ours")
    assert set(await ours.prune()) == {a_version(2).key, a_version(3).key}
    files = [*(tmp_path / "needs").glob("*.json"), *(tmp_path / "pointers").glob("*.json")]
    for file in files:
        os.utime(file, (0, 0))
    await ours.touch("ours")
    assert await ours.prune() == [a_version(1).key]
    memory = await PointerState(tmp_path, "theirs").recall()
    assert memory is not None
    assert memory.pin == (stored.version if why == "pinned" else None)


async def test_a_version_that_nobody_has_used_for_months_goes(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """Also one of a model that no pointer follows any more; one of the future does not."""
    store = await open_store(tmp_path, fetcher)
    for number in (1, 2, 3):
        await store.ensure(a_version(number))
    for number, moment in ((1, 0.0), (2, 4e9)):
        os.utime(tmp_path / "versions" / a_version(number).key, (moment, moment))
    assert await store.prune() == [a_version(1).key]


async def test_last_known_good_versions_of_before_are_taken_over(
    tmp_path: Path, fetcher: Fetcher
) -> None:
    """From the one file that all pointers shared, whose versions have their keys still."""
    store = await open_store(tmp_path, fetcher)
    stored = await store.ensure(a_version(1))
    good = {"registry": "http://registry.test", "ref_uri": "models:/m/1", "key": a_version(1).key}
    (tmp_path / "good.json").write_text(json.dumps([good]))
    again = await open_store(tmp_path, fetcher)
    assert await again.last_good("models:/m/1") == stored
    assert not (tmp_path / "good.json").exists()


@pytest.mark.parametrize("how", ["nonsense", "folder"])
async def test_a_damaged_file_of_before_stops_no_start(
    tmp_path: Path, fetcher: Fetcher, how: str
) -> None:
    """It is put aside."""
    (tmp_path / "good.json").touch()
    damage(tmp_path, "good.json", how)
    await open_store(tmp_path, fetcher)
    assert (tmp_path / "good.old").exists()


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
