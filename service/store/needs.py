"""Which stored versions the pointers of all services need, so that no service prunes them.

A file for each pointer, below CACHE_DIR: it counts while its service is stopped, too, until nobody
has used the pointer for 90 days. Plain functions that block, called in the store's threads.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from service.core.errors import StateUnreadableError
from service.store import files
from service.store.pointer_file import FOLDER as PINS_FOLDER
from service.store.pointer_file import memory_file, pointer_name
from service.store.state_file import MOST_BYTES, LaterStateError, StateFile

FOLDER = "needs"
OLD_GOOD = "good.json"
UNUSED_AFTER_S = 90 * 86_400.0
"""A pointer, or a version that no pointer needs, is forgotten when it was not used for longer."""
_LAYOUT = 1

_log = structlog.get_logger("store")


class Needs(msgspec.Struct, frozen=True):
    """The keys of the versions that one pointer needs; '' for none.

    `good` is its last known good version, `serving` what was last swapped in, and `promoted` what
    the registry said last.
    """

    pointer: str
    good: str = ""
    serving: str = ""
    promoted: str = ""


class _OldGood(msgspec.Struct, frozen=True):
    """An entry of the one file that all pointers shared before."""

    registry: str
    ref_uri: str
    key: str


def read(cache_dir: Path, pointer: str) -> Needs:
    """Return what a pointer needs. Raise StateUnreadableError where that can't be read."""
    found = _file(cache_dir, pointer).read()
    if found is not None and found.pointer != pointer:
        raise StateUnreadableError(f"the file of {pointer} is that of {found.pointer}")
    return found or Needs(pointer)


def note(cache_dir: Path, pointer: str, **keys: str) -> None:
    """Write down that a pointer needs other versions by now; a damaged file begins anew.

    Raise OSError where the disk does not let us, and LaterStateError for a later service's file.
    """
    file = _file(cache_dir, pointer)

    def change(found: Needs | None) -> Needs:
        return msgspec.structs.replace(found or Needs(pointer), **keys)

    try:
        known = file.read()
        if known is None or change(known) != known:
            file.update(change)
    except LaterStateError:
        raise
    except StateUnreadableError as error:
        _log.warning("a pointer's needs can't be read", reason=str(error))
        file.overwrite(change(None))


def touch(cache_dir: Path, pointer: str) -> None:
    """Note that the pointer is used."""
    name = pointer_name(pointer)
    for folder in (FOLDER, PINS_FOLDER):
        with contextlib.suppress(OSError):
            os.utime(cache_dir / folder / f"{name}.json")


def all_keys(cache_dir: Path) -> frozenset[str]:
    """Return the key of every version that some pointer needs.

    Raise StateUnreadableError where one of them can't be read: then nobody knows.
    """
    keys: set[str] = set()
    for file in _used(cache_dir / FOLDER):
        needs = StateFile(file, Needs, _LAYOUT).read()
        if needs is not None:
            keys.update((needs.good, needs.serving, needs.promoted))
    for file in _used(cache_dir / PINS_FOLDER):
        memory = memory_file(file).read()
        if memory is not None and memory.pin is not None:
            keys.add(memory.pin.key)
    return frozenset(keys - {""})


def is_unused(file: Path) -> bool:
    """Whether a file or folder was not touched for long; one from the future was."""
    try:
        return time.time() - file.lstat().st_mtime > UNUSED_AFTER_S
    except FileNotFoundError:
        return True


def forget_unused(cache_dir: Path) -> None:
    """Remove the files of pointers that nobody has used for long. A pin is never removed."""
    for name in files.names(cache_dir / FOLDER):
        file = cache_dir / FOLDER / name
        if file.suffix == ".json" and is_unused(file):
            with contextlib.suppress(OSError):
                files.remove(file)


def migrate(cache_dir: Path) -> None:
    """Take over what the one file that all pointers shared before says, and put it aside."""
    old = cache_dir / OLD_GOOD
    try:
        goods = msgspec.json.decode(files.read_small(old, MOST_BYTES), type=list[_OldGood])
    except FileNotFoundError:
        return
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        _log.warning("last known good versions of before can't be read", reason=str(error))
        goods = []
    for good in goods:
        with contextlib.suppress(StateUnreadableError):
            if not read(cache_dir, good.ref_uri).good:
                note(cache_dir, good.ref_uri, good=good.key)
    files.move(old, old.with_suffix(".old"))


def _file(cache_dir: Path, pointer: str) -> StateFile[Needs]:
    return StateFile(cache_dir / FOLDER / f"{pointer_name(pointer)}.json", Needs, _LAYOUT)


def _used(folder: Path) -> Iterator[Path]:
    for name in files.names(folder):
        file = folder / name
        if file.suffix == ".json" and not is_unused(file):
            yield file
