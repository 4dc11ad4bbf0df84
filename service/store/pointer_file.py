"""The file of a pointer: what is remembered of it across restarts, and how that is written.

One small JSON file for each pointer, below CACHE_DIR beside the versions.
"""

import hashlib
from pathlib import Path

import msgspec

from service.core.verdicts import Verdict
from service.core.versions import ModelVersion
from service.store.state_file import LOCK_S, StateFile

FOLDER = "pointers"
_LAYOUT = 2


class Refusal(msgspec.Struct, frozen=True):
    """A version that was refused: the sentence, and every verdict up to it."""

    version: ModelVersion
    reason: str
    verdicts: tuple[Verdict, ...] = ()


class Memory(msgspec.Struct, frozen=True):
    """The memory of a pointer. `pin` is the version that serves whatever the registry says."""

    pin: ModelVersion | None = None
    refusals: tuple[Refusal, ...] = ()
    pointer: str = ""
    """The pointer, for people who read the file."""


class _Layout1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first layout, which had no digest: each of its members must be there."""

    pin: ModelVersion | None
    refusals: tuple[Refusal, ...]


def pointer_name(pointer: str) -> str:
    """Return the file name, without its ending, of what is kept for a pointer."""
    return hashlib.sha256(pointer.encode()).hexdigest()[:16]


def file_of(cache_dir: Path, pointer: str, lock_s: float = LOCK_S) -> StateFile[Memory]:
    """Return the file of a pointer, whose lock is waited for up to `lock_s`."""
    return memory_file(cache_dir / FOLDER / f"{pointer_name(pointer)}.json", lock_s)


def memory_file(file: Path, lock_s: float = LOCK_S) -> StateFile[Memory]:
    """Return a file of some pointer."""
    return StateFile(file, Memory, _LAYOUT, _read_layout_1, lock_s)


def _read_layout_1(content: bytes) -> Memory:
    older = msgspec.json.decode(content, type=_Layout1)
    return Memory(older.pin, older.refusals)
