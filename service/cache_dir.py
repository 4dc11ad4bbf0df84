"""CACHE_DIR as a service needs it before it starts: this user's own, and to be written to."""

import os
import tempfile
from pathlib import Path

from service.processes.own_folder import FolderError, keep_files_private, own_folder
from service.processes.temp import TempFolder
from service.settings.errors import SettingsError

_FOLDERS = (
    "compiled",
    "environments",
    "locks",
    "locks/in-use",
    "needs",
    "pointers",
    "temp",
    "tmp",
    "versions",
)
"""What a service has below it."""


def require_writable(cache_dir: Path) -> str:
    """Make CACHE_DIR this user's own, and all that this process and its children create.

    Return a caution, or '' where nothing is wrong with it. Raise SettingsError where nothing can be
    written there, or everyone may write to it or to a folder below.
    """
    keep_files_private()
    try:
        caution = own_folder(cache_dir)
        with tempfile.TemporaryFile(dir=cache_dir):
            pass
        for name in _FOLDERS:
            if os.path.lexists(cache_dir / name):
                # One that an earlier version made has wider rights. What is no folder is an error.
                below = own_folder(cache_dir / name)
                caution = caution or below
    except FolderError as error:
        raise SettingsError(f"CACHE_DIR: {error}") from None
    except FileExistsError as error:
        raise SettingsError(
            f"CACHE_DIR: {error.filename} is no folder; allowed is a folder that is empty, or that "
            "this service has filled"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"CACHE_DIR: {cache_dir} can't be written to ({error.strerror}); allowed is a folder "
            "that this user may write to"
        ) from None
    return caution


def temp_folder(cache_dir: Path) -> TempFolder:
    """Make this process's folder for temporary files. Raise SettingsError where it can't be."""
    try:
        return TempFolder(cache_dir / "temp")
    except FolderError as error:
        raise SettingsError(f"CACHE_DIR: {error}") from None
