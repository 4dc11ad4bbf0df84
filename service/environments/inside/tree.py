"""Every file of an environment, by size, time and SHA-256: what was built is what may be run."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.core.errors import EnvironmentNotBuiltError
from service.core.text import NAME_CHARACTERS, presentable
from service.environments.messages import Checked, CheckRequest, Recorded, RecordRequest

_CHUNK_BYTES = 2**20
_MOST_BYTES = 2**28
"""A larger manifest is none of ours."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A file or a link: its path below the root, its size, its time, and its content.

    The content is that of a file as SHA-256 in hexadecimal, or where a link leads.
    """

    path: str
    size_bytes: int
    time_ns: int
    content: str


def record(request: RecordRequest) -> Recorded:
    """Write down what is below a folder.

    Raise EnvironmentNotBuiltError for a file that has another name besides, somewhere else.
    """
    root = Path(request.folder)
    entries: list[Entry] = []
    for path, found in sorted(_found(root)):
        if not stat.S_ISLNK(found.st_mode) and found.st_nlink > 1:
            raise EnvironmentNotBuiltError(
                f"{presentable(path, NAME_CHARACTERS)} was linked into the environment and not "
                "copied, so that what writes to it would change others as well"
            )
        entries.append(Entry(path, *_outside(found), _content(root / path, found)))
    written = msgspec.json.encode(entries)
    Path(request.manifest).write_bytes(written)
    sizes = sum(entry.size_bytes for entry in entries)
    return Recorded(hashlib.sha256(written).hexdigest(), len(entries), sizes)


def check(request: CheckRequest) -> Checked:
    """Compare what is below a folder with what was written down. Raise OSError."""
    try:
        entries = _recorded(Path(request.manifest), request.digest)
        _compare(Path(request.folder), entries, fully=request.fully)
    except _DifferenceError as difference:
        return Checked(presentable(str(difference)))
    return Checked()


class _DifferenceError(Exception):
    """Something is not as it was written down; the message says what."""


def _recorded(manifest: Path, digest: str) -> list[Entry]:
    """Return what was written down. Raise _DifferenceError where that has changed."""
    try:
        if manifest.stat().st_size > _MOST_BYTES:
            raise _DifferenceError("its manifest is none of ours")
        written = manifest.read_bytes()
        if hashlib.sha256(written).hexdigest() != digest:
            raise _DifferenceError("its manifest has changed since it was built")
        return msgspec.json.decode(written, type=list[Entry])
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        raise _DifferenceError("its manifest can't be read") from None


def _compare(root: Path, entries: list[Entry], *, fully: bool) -> None:
    """Raise _DifferenceError for the first one; a file's content is read where it is `fully`."""
    recorded = {entry.path: entry for entry in entries}
    for path, found in _found(root):
        entry = recorded.pop(path, None)
        if entry is None:
            raise _DifferenceError(f"{path} was not there when it was built")
        if _outside(found) != (entry.size_bytes, entry.time_ns):
            raise _DifferenceError(f"{path} has changed since it was built")
        is_link = stat.S_ISLNK(found.st_mode)
        if (fully or is_link) and _content(root / path, found) != entry.content:
            raise _DifferenceError(f"{path} has other content than it was built with")
        if is_link and not (root / path).exists():
            raise _DifferenceError(f"{path} leads to nothing")
    if recorded:
        raise _DifferenceError(f"{min(recorded)} is missing")


def _found(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give every file and link below `root` by its path there; folders that are links, too."""
    folders = [""]
    while folders:
        below = folders.pop()
        try:
            with os.scandir(root / below) as entries:
                for entry in entries:
                    path = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{path}/")
                    else:
                        yield path, entry.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            # It is missed where its files are.
            continue


def _outside(found: os.stat_result) -> tuple[int, int]:
    """Return what is compared without reading a file. A link's size and time say nothing."""
    if stat.S_ISLNK(found.st_mode):
        return 0, 0
    if not stat.S_ISREG(found.st_mode):
        # A pipe would keep a reader for ever.
        return -1, 0
    return found.st_size, found.st_mtime_ns


def _content(file: Path, found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return os.readlink(file)  # noqa: PTH115 - as it is written
    if not stat.S_ISREG(found.st_mode):
        return "no regular file"
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
