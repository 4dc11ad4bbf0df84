"""Every file of a stored version, by size and sha256: what was fetched is what may be loaded.

Read in the server process when a version is stored, and again in each worker right before it
loads. A file that can't be read (OSError) says nothing of its content, and is never taken for
corruption.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from service.core.errors import StoreCorruptError

MANIFEST_NAME = "manifest.json"
"""The manifest's file name, beside the folder that it describes."""
_CHUNK_BYTES = 2**18
_MOST_FILES = 100_000
_MOST_CHARACTERS = 4_096
"""A longer path is refused: no system that we know takes one in one call."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file: its path below the root with forward slashes, size, and sha256 in hex."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All files below a root, ordered by path."""

    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """The sha256 over all entries, in hex: it names the whole content."""
        return hashlib.sha256(msgspec.json.encode(self.files)).hexdigest()

    @property
    def size_bytes(self) -> int:
        """The sum of all files' sizes."""
        return sum(entry.size_bytes for entry in self.files)


class _Recorded(msgspec.Struct, frozen=True):
    """The file's form: the digest stands beside the entries, so that damage to either shows."""

    digest: str
    files: tuple[FileEntry, ...]


def go_on() -> None:
    """Let a long read go on: what else is called between its chunks may raise, to end it."""


def build(root: Path, between: Callable[[], None] = go_on) -> Manifest:
    """Read every file below `root`. Raise StoreCorruptError for a link that leads out of it."""
    return Manifest(tuple(_entry(path, file, between) for path, file in sorted(_files(root))))


def write(file: Path, manifest: Manifest) -> None:
    """Write the manifest as JSON."""
    encoded = msgspec.json.encode(_Recorded(manifest.digest, manifest.files))
    file.write_bytes(msgspec.json.format(encoded))


def read(file: Path) -> Manifest:
    """Read what `write` wrote. Raise StoreCorruptError where it is missing or damaged."""
    try:
        if not file.is_file():
            raise FileNotFoundError("it is no file")  # noqa: TRY301 - a pipe would keep us for ever
        recorded = msgspec.json.decode(file.read_bytes(), type=_Recorded)
    except (FileNotFoundError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreCorruptError(f"{file} can't be read as a manifest: {error}") from error
    manifest = Manifest(recorded.files)
    if manifest.digest != recorded.digest:
        raise StoreCorruptError(f"{file} does not have the digest that it names")
    return manifest


def verify(root: Path, manifest: Manifest, between: Callable[[], None] = go_on) -> None:
    """Compare the files below `root` with the manifest.

    Raise StoreCorruptError that names the first difference: missing, extra or changed.
    """
    if not root.is_dir():
        raise StoreCorruptError(f"the folder {root} is missing")
    recorded = {entry.path: entry for entry in manifest.files}
    found = dict(_files(root))
    for path in sorted(recorded.keys() | found.keys()):
        if path not in found:
            raise StoreCorruptError(f"{path} is missing in {root}")
        if path not in recorded:
            raise StoreCorruptError(f"{path} in {root} was not there when it was stored")
        # The size first: it costs nothing, and spares reading what is cut short.
        if (
            not found[path].is_file()
            or found[path].stat().st_size != recorded[path].size_bytes
            or _entry(path, found[path], between) != recorded[path]
        ):
            raise StoreCorruptError(f"{path} in {root} has changed since it was stored")


def verify_stored(root: Path, digest: str, between: Callable[[], None] = go_on) -> None:
    """Check a stored version's folder against the manifest beside it, and that against `digest`.

    This is the whole check before a load. Raise StoreCorruptError for any difference.
    """
    manifest = read(root.parent / MANIFEST_NAME)
    if manifest.digest != digest:
        raise StoreCorruptError(f"the manifest of {root} is not the one that was recorded")
    verify(root, manifest, between)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Give every file below `root` as its path there and the file; folders that are links, too."""
    inside = root.resolve()
    count = 0
    for folder, folders, names in os.walk(root, onerror=_raise):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in [*names, *links]:
            file = Path(folder) / name
            path = file.relative_to(root).as_posix()
            if file.is_symlink():
                if not file.resolve().is_relative_to(inside):
                    raise StoreCorruptError(f"{path} in {root} is a link that leads out of it")
                if file.is_dir():
                    raise StoreCorruptError(f"{path} in {root} is a link to a folder")
            if not stat.S_ISREG(file.stat().st_mode):
                # To read a pipe would wait for its writer.
                raise StoreCorruptError(f"{path} in {root} is no regular file")
            count += 1
            if count > _MOST_FILES or len(path) > _MOST_CHARACTERS:
                raise StoreCorruptError(f"{root} has more files, or longer paths, than are read")
            yield path, file


def _raise(error: OSError) -> None:
    raise error


def _entry(path: str, file: Path, between: Callable[[], None]) -> FileEntry:
    with file.open("rb") as content:
        # By hand: Python 3.10, which runs children, has no `hashlib.file_digest`.
        digest = hashlib.sha256()
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            between()
        return FileEntry(path, content.tell(), digest.hexdigest())
