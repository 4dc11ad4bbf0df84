from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import filelock
import pytest

from service.core.errors import FetchFailedError
from service.store import files
from service.store.folder_locks import FolderLocks

T = TypeVar("T")


async def run(function: Callable[..., T], *arguments: object) -> T:
    """Do file work as stores do."""
    return await anyio.to_thread.run_sync(function, *arguments)


def locks_in(folder: Path) -> FolderLocks:
    """Return the locks of a service that shares a folder."""
    return FolderLocks(
        folder, run, lambda name, limit_s: FetchFailedError(f"{name} is held for {limit_s:g} s")
    )


async def test_a_name_has_one_holder_among_services(tmp_path: Path) -> None:
    """Another one waits as long as it may, in its own error's words; other names wait for none."""
    ours, theirs = locks_in(tmp_path), locks_in(tmp_path)
    async with ours.held("a", 1):
        async with theirs.held_if_free("a") as is_free, theirs.held("b", 0):
            assert not is_free
        with pytest.raises(FetchFailedError, match="a is held for 0 s"):
            async with theirs.held("a", 0):
                raise AssertionError("two hold it")
    async with theirs.held_if_free("a") as is_free:
        assert is_free


async def test_a_use_counts_until_it_is_released(tmp_path: Path) -> None:
    """Of several uses each by itself; nothing of it stays."""
    ours, theirs = locks_in(tmp_path), locks_in(tmp_path)
    first, second = await ours.mark_use("a"), await theirs.mark_use("a")
    await ours.release(first)
    assert await ours.is_used("a")
    await theirs.release(second)
    await theirs.release(second)
    assert not await ours.is_used("a")
    assert list((tmp_path / "in-use" / "a").iterdir()) == []


async def test_a_mark_that_somebody_looks_at_as_it_is_made_is_made_anew(tmp_path: Path) -> None:
    """A look at who is there holds each mark for a moment, and deletes it."""
    looked: list[str] = []

    async def looked_at(function: Callable[..., T], *arguments: Any) -> T:
        if function is files.try_lock and len(looked) < 2:
            mark = Path(arguments[0].lock_file)
            looked.append(mark.name)
            mark.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(mark):
                found = await run(function, *arguments)
            await run(mark.unlink)
            return found
        return await run(function, *arguments)

    locks = FolderLocks(tmp_path, looked_at, lambda _, __: FetchFailedError("it is held"))
    held = await locks.mark_use("a")
    assert len(looked) == 2
    assert Path(held.lock_file).name not in looked
    assert await locks_in(tmp_path).is_used("a")
    await locks.release(held)
    assert not await locks_in(tmp_path).is_used("a")
