"""A stored version copied into a folder of somebody else's, and found there as it was recorded."""

import shutil
from collections.abc import Callable
from pathlib import Path

from service.core.errors import ServiceError
from service.core.versions import StoredVersion
from service.store import manifest
from service.store.manifest import FileEntry, Manifest

_LAST = "MLmodel"
"""Without this file a folder is no model."""
_ASIDE = ".hotswap-fetch"
"""Below the folder, what is being copied; a copy that was killed leaves it behind."""
_CHUNK_BYTES = 2**20
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


class FolderInUseError(ServiceError):
    """A folder has something else in it than what is to be copied there."""

    code = "folder-in-use"


def copy_out(
    stored: StoredVersion, folder: Path, between: Callable[[], None] = manifest.go_on
) -> Manifest:
    """Have a folder hold a stored version's files and nothing else; return what they are.

    Each file gets its name once it is whole, and MLmodel last: a folder without it is no model.
    What an earlier copy has brought stays. Everyone may read the files: whatever loads them may be
    another user's.

    Raise FolderInUseError where something else is there, StoreCorruptError where the stored files
    are not those that were recorded. `between` is called between chunks of files.
    """
    recorded = manifest.read(stored.path.parent / manifest.MANIFEST_NAME)
    manifest.verify_stored(stored.path, stored.digest, between)
    _make(folder)
    aside = folder / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    wanted = {entry.path: entry for entry in recorded.files}
    for found in manifest.build(folder, between).files:
        if wanted.pop(found.path, None) != found:
            raise FolderInUseError(
                f"{folder} has {found.path}, which is not of this version: allowed is a folder "
                "that is empty, or has files of this version alone"
            )
    aside.mkdir()
    try:
        for entry in sorted(wanted.values(), key=lambda one: one.path == _LAST):
            _copy(stored.path, folder, entry, between)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    manifest.verify(folder, recorded, between)
    return recorded


def _copy(root: Path, folder: Path, entry: FileEntry, between: Callable[[], None]) -> None:
    """Copy one file aside, and give it its name."""
    aside, target = folder / _ASIDE / "file", folder / entry.path
    with (root / entry.path).open("rb") as source, aside.open("wb") as copied:
        while chunk := source.read(_CHUNK_BYTES):
            copied.write(chunk)
            between()
    aside.chmod(_FILE_MODE)
    _make(target.parent)
    aside.replace(target)


def _make(folder: Path) -> None:
    """Make a folder and those above it, so that all may look into what is made."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir()
        missing.chmod(_FOLDER_MODE)
