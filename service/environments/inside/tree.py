"""Every file of an environment, by size, time and SHA-256: what was built is what may be run."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
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

    Raise EnvironmentNotBuiltError for a file that has another name besides, somewhere else, and
    EnvironmentRefusedError for what is neither a file nor a link: a pipe may become anything, and
    nothing would show it.
    """
    root = Path(request.folder)
    entries: list[Entry] = []
    for path, found in sorted(_found(root)):
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
            raise EnvironmentRefusedError(
                f"{presentable(path, NAME_CHARACTERS)} is neither a file nor a link"
            )
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
        recorded = _recorded(Path(request.manifest), request.digest)
        _compare(Path(request.folder), recorded, fully=request.fully)
    except _DifferenceError as difference:
        return Checked(presentable(str(difference)))
    return Checked()


class _DifferenceError(Exception):
    """Something is not as it was written down; the message says what."""


# A manifest takes a tenth of the time to read that all the files take to be looked at, and some
# megabytes to be known. It is known by its digest.
@lru_cache(maxsize=2)
def _recorded(manifest: Path, digest: str) -> dict[str, dict[str, Entry]]:
    """Return what was written down, by folders ("" or "a/b/") and names.

    Raise _DifferenceError where that has changed.
    """
    try:
        if manifest.stat().st_size > _MOST_BYTES:
            raise _DifferenceError("its manifest is none of ours")
        written = manifest.read_bytes()
        if hashlib.sha256(written).hexdigest() != digest:
            raise _DifferenceError("its manifest has changed since it was built")
        entries = msgspec.json.decode(written, type=list[Entry])
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        raise _DifferenceError("its manifest can't be read") from None
    folders: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        folder, slash, name = entry.path.rpartition("/")
        folders.setdefault(folder + slash, {})[name] = entry
    return folders


def _compare(root: Path, recorded: dict[str, dict[str, Entry]], *, fully: bool) -> None:
    """Raise _DifferenceError for the first one; a file's content is read where it is `fully`.

    An environment has tens of thousands of files, and a promotion waits for this: a file that is
    as it was costs no more than its `stat`.
    """
    missing = recorded.copy()
    folders = [""]
    while folders:
        below = folders.pop()
        left = missing[below] = recorded.get(below, {}).copy()
        # What goes meanwhile is missing.
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(f"{root}/{below}") as found,
        ):
            for one in found:
                entry = left.get(one.name)
                if entry is None:
                    if not one.is_dir(follow_symlinks=False):
                        raise _DifferenceError(f"{below}{one.name} was not there when it was built")
                    folders.append(f"{below}{one.name}/")
                    continue
                now = one.stat(follow_symlinks=False)
                if (
                    fully
                    or now.st_mtime_ns != entry.time_ns
                    or now.st_size != entry.size_bytes
                    or not stat.S_ISREG(now.st_mode)
                ):
                    _compare_one(root / entry.path, now, entry, fully=fully)
                del left[one.name]
    if names := [f"{below}{name}" for below, left in missing.items() for name in left]:
        raise _DifferenceError(f"{min(names)} is missing")


def _compare_one(file: Path, now: os.stat_result, entry: Entry, *, fully: bool) -> None:
    if _outside(now) != (entry.size_bytes, entry.time_ns):
        raise _DifferenceError(f"{entry.path} has changed since it was built")
    is_link = stat.S_ISLNK(now.st_mode)
    if (fully or is_link) and _content(file, now) != entry.content:
        raise _DifferenceError(f"{entry.path} has other content than it was built with")
    if is_link and not file.exists():
        raise _DifferenceError(f"{entry.path} leads to nothing")


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
