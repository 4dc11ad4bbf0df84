"""Which stored versions go, and which never do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from service.control.pointer_state import PointerState
from service.core.errors import StateUnreadableError, StoreCorruptError
from service.core.versions import ModelVersion
from tests.support.fake_source import a_version
from tests.support.stores import Fetcher, left_behind, open_store

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
