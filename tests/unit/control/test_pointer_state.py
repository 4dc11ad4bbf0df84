import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from service.control.pointer_state import PointerState
from service.core.versions import ModelVersion
from service.store import state_file
from service.store.pointer_file import Memory, Refusal
from tests.support.fake_source import a_version

POINTER = "models:/m@champion at http://registry.test"


def the_file(folder: Path) -> Path:
    """Return the one memory file."""
    (file,) = (folder / "pointers").glob("*.json")
    return file


async def pinned(folder: Path, version: ModelVersion) -> PointerState:
    """Give the memory of a service that has pinned a version."""
    remembered = PointerState(folder, POINTER)
    await remembered.recall()
    await remembered.remember_pin(version)
    return remembered


async def recalled(folder: Path) -> tuple[Memory | None, PointerState]:
    """Return what a service that starts now takes up."""
    remembered = PointerState(folder, POINTER)
    return await remembered.recall(), remembered


async def test_two_services_change_only_what_they_have_to(tmp_path: Path) -> None:
    """One that knew of no pin writes its refusals beside it; both refusals stay."""
    one, two = PointerState(tmp_path, POINTER), PointerState(tmp_path, POINTER)
    for service in (one, two):
        assert await service.recall() == Memory()
    await one.remember_pin(a_version(1))
    await one.remember_refusals([Refusal(a_version(2), "slow")], [])
    await two.remember_refusals([Refusal(a_version(3), "wrong")], [])
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(1)
    assert [refusal.version for refusal in memory.refusals] == [a_version(2), a_version(3)]
    await two.remember_refusals([], [a_version(3)])
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert [refusal.version for refusal in memory.refusals] == [a_version(2)]


async def test_a_pin_of_another_service_is_taken_up(tmp_path: Path) -> None:
    """Also where this one has written since, and its end too; what is known is not told again."""
    one, two = PointerState(tmp_path, POINTER), PointerState(tmp_path, POINTER)
    for service in (one, two):
        await service.recall()
    await one.remember_pin(a_version(1))
    await two.remember_refusals([Refusal(a_version(3), "wrong")], [])
    told = await two.recall()
    assert told is not None
    assert told.pin == a_version(1)
    assert await two.recall() is None
    await one.remember_pin(None)
    told = await two.recall()
    assert told is not None
    assert told.pin is None


def _make_huge(file: Path, _: bytes) -> None:
    with file.open("wb") as huge:
        huge.truncate(2**34)


DAMAGES: dict[str, Callable[[Path, bytes], object]] = {
    "folder": lambda file, _: file.mkdir(),
    "link": lambda file, _: file.symlink_to(file.with_name("elsewhere")),
    "pipe": lambda file, _: os.mkfifo(file),
    "truncated": lambda file, content: file.write_bytes(content[:-10]),
    "empty": lambda file, _: file.write_bytes(b""),
    "zeros": lambda file, content: file.write_bytes(bytes(len(content))),
    "huge": _make_huge,
    "deep": lambda file, _: file.write_bytes(b'{"layout": 2, "state": ' + b"[" * 100_000),
    "another version": lambda file, content: file.write_bytes(
        content.replace(b'"version":"1"', b'"version":"2"')
    ),
    "another word": lambda file, content: file.write_bytes(content.replace(b'"pin"', b'"pim"')),
    "a wrong type": lambda file, _: file.write_bytes(b"[]"),
    "later layout": lambda file, content: file.write_bytes(
        content.replace(b'"layout":2', b'"layout":3')
    ),
    "removed": lambda _, __: None,
}


def _damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    file.unlink()
    DAMAGES[how](file, content)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes in folders")
@pytest.mark.parametrize("how", sorted(DAMAGES.keys() - {"removed"}))
async def test_a_file_that_cannot_be_read_leaves_the_pin_unknown(tmp_path: Path, how: str) -> None:
    """Until somebody pins or unpins; refusals wait, a copy is kept, and the next start says it."""
    await pinned(tmp_path, a_version(1))
    file = the_file(tmp_path)
    _damage(file, how)
    memory, remembered = await recalled(tmp_path)
    assert memory is None
    assert "hotswap unpin" in remembered.held
    await remembered.remember_refusals([Refusal(a_version(3), "wrong")], [])
    assert remembered.held
    memory, again = await recalled(tmp_path)
    assert (memory, bool(again.held)) == (None, True)
    await remembered.remember_pin(a_version(2))
    assert (remembered.held, remembered.trouble) == ("", "")
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(2)
    assert [refusal.version for refusal in memory.refusals] == [a_version(3)]
    assert len(list(file.parent.glob("*.unreadable-*"))) == 1
    # The other service takes it up, too.
    told = await again.recall()
    assert told is not None
    assert again.held == ""


async def test_a_file_that_can_be_read_again_is(tmp_path: Path) -> None:
    """Nobody has to pin or unpin where the disk was away for a moment."""
    await pinned(tmp_path, a_version(1))
    file = the_file(tmp_path)
    aside = file.rename(file.with_suffix(".aside"))
    file.mkdir()
    memory, remembered = await recalled(tmp_path)
    assert memory is None
    file.rmdir()
    aside.rename(file)
    memory = await remembered.recall()
    assert memory is not None
    assert memory.pin == a_version(1)
    assert remembered.held == ""


@pytest.mark.parametrize("how", ["truncated", "folder", "removed"])
async def test_a_file_that_is_damaged_while_a_service_runs_is_written_again(
    tmp_path: Path, how: str
) -> None:
    """The service knows what it said."""
    remembered = await pinned(tmp_path, a_version(1))
    await remembered.remember_refusals([Refusal(a_version(3), "wrong")], [])
    _damage(the_file(tmp_path), how)
    await remembered.recall()
    assert (remembered.held, remembered.trouble) == ("", "")
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(1)
    assert [refusal.version for refusal in memory.refusals] == [a_version(3)]


async def test_a_later_services_file_is_left_alone_while_this_one_runs(tmp_path: Path) -> None:
    """It says so; the pin is in force."""
    remembered = await pinned(tmp_path, a_version(1))
    file = the_file(tmp_path)
    _damage(file, "later layout")
    content = file.read_bytes()
    await remembered.recall()
    await remembered.remember_refusals([Refusal(a_version(3), "wrong")], [])
    assert "layout 3" in remembered.trouble
    assert file.read_bytes() == content


async def test_what_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    """And is not undone meanwhile by what is still there."""
    await pinned(tmp_path, a_version(1))
    remembered = PointerState(tmp_path, POINTER, lock_s=0.05)
    await remembered.recall()
    with filelock.FileLock(_lock_of(tmp_path)):
        await remembered.remember_pin(a_version(2))
        assert "another process holds its lock" in remembered.trouble
        assert await remembered.recall() is None
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(1)
    assert await remembered.recall() is None
    assert remembered.trouble == ""
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(2)


def _lock_of(folder: Path) -> Path:
    return the_file(folder).with_suffix(".lock")


async def test_the_first_layout_is_read_and_replaced(tmp_path: Path) -> None:
    """Its pin is in force, and the key of its version is what it was."""
    await pinned(tmp_path, a_version(9))
    file = the_file(tmp_path)
    version = {
        "registry": "http://registry.test",
        "name": "m",
        "version": "1",
        "run_id": "run1",
        "source": "models:/m-1",
        "created_ms": 0,
    }
    file.write_text(json.dumps({"pin": version, "refusals": []}))
    memory, remembered = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(1)
    assert memory.pin.key == "m-1-a63ec07c48060c1a"
    await remembered.remember_refusals([Refusal(a_version(3), "wrong")], [])
    assert json.loads(file.read_text())["layout"] == 2
    parts: list[dict[str, object]] = [
        {"pin": version},
        {"pim": version, "refusals": []},
        {"refusals": []},
    ]
    for broken in parts:
        file.write_text(json.dumps(broken))
        _, remembered = await recalled(tmp_path)
        assert remembered.held


async def test_copies_are_few(tmp_path: Path) -> None:
    """However often a file is damaged anew."""
    remembered = await pinned(tmp_path, a_version(1))
    file = the_file(tmp_path)
    for number in range(12):
        file.write_text(f"damage {number}")
        await remembered.recall()
    assert len(list(file.parent.glob("*.unreadable-*"))) == 5


async def test_long_reasons_make_no_large_file(tmp_path: Path) -> None:
    """A model's words may have any length, and versions any number."""
    remembered = await pinned(tmp_path, a_version(1))
    refusals = [Refusal(a_version(number), "x" * 100_000) for number in range(100)]
    await remembered.remember_refusals(refusals, [])
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert len(memory.refusals) == 50
    assert the_file(tmp_path).stat().st_size < state_file.MOST_BYTES / 8


async def test_a_pin_that_is_too_large_to_be_read_again_is_not_written(tmp_path: Path) -> None:
    """It is told, and what is there stays."""
    remembered = await pinned(tmp_path, a_version(1))
    await remembered.remember_pin(a_version(2, name="m" * state_file.MOST_BYTES))
    assert "it would have" in remembered.trouble
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.pin == a_version(1)


async def test_what_is_let_out_while_nothing_can_be_written_fills_no_memory(tmp_path: Path) -> None:
    """What was let out last is written once that is possible."""
    remembered = PointerState(tmp_path, POINTER)
    await remembered.recall()
    await remembered.remember_refusals([Refusal(a_version(5000), "slow")], [])
    file = the_file(tmp_path)
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"layout":2', b'"layout":3'))
    for number in range(1, 2501, 500):
        await remembered.remember_refusals([], [a_version(n) for n in range(number, number + 500)])
    await remembered.remember_refusals([], [a_version(5000)])
    assert remembered.trouble
    assert len(remembered.lifted) <= 1000
    file.write_bytes(kept)
    await remembered.recall()
    assert remembered.trouble == ""
    memory, _ = await recalled(tmp_path)
    assert memory is not None
    assert memory.refusals == ()
