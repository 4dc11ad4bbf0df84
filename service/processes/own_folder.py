"""A folder that is this user's alone: what is loaded from it is run."""

import os
import stat
from pathlib import Path

from service import windows

_OTHERS = 0o077
_PRIVATE = 0o700


class FolderError(Exception):
    """A folder that can't be used as it is, in one line: what is wrong, and what is allowed."""


def keep_files_private() -> None:
    """Have what this process and its children create be this user's alone, from now on.

    That is the umask, which children inherit: it holds for what libraries and models write, too.
    """
    os.umask(_OTHERS)


def own_folder(folder: Path) -> str:
    """Make a folder where it is missing, and take other users' rights on it away.

    Return a caution where it belongs to somebody else, who may change what is loaded; else ''.
    Raise FolderError where every user may write to it and it is not ours to close; OSError where
    the disk does not let us.
    """
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if not windows.has_owners():
        return ""
    found = folder.stat()
    if found.st_uid == os.geteuid():
        if found.st_mode & _OTHERS:
            folder.chmod(_PRIVATE)
        return _parent_caution(folder)
    if found.st_mode & stat.S_IWOTH:
        raise FolderError(
            f"{folder} belongs to another user and everyone may write to it; allowed "
            "is a folder of this user's own"
        )
    if found.st_uid == 0 and not found.st_mode & stat.S_IWGRP:
        return ""
    return f"{folder} can be written to by another user or group, who may change what is loaded"


def _parent_caution(folder: Path) -> str:
    """Return a caution where another user may put a folder of their own in this one's place."""
    parent = folder.resolve().parent
    mode = parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"{parent}, where {folder.name} is, can be written to by every user"
    return ""
