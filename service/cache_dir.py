"""CACHE_DIR as a service needs it before it starts: this user's own, and to be written to."""

import os
import tempfile
from pathlib import Path

from service.processes.own_folder import FolderError, own_folder
from service.processes.temp import TempFolder
from service.settings.errors import SettingsError

_FOLDERS = (
    "compiled",
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
    """Make CACHE_DIR this user's own. Return a caution, or '' where nothing is wrong with it.

    Raise SettingsError where nothing can be written there, or everyone may write to it.
    """
    try:
        caution = own_folder(cache_dir)
        with tempfile.TemporaryFile(dir=cache_dir):
            pass
        for name in _FOLDERS:
            if os.path.lexists(cache_dir / name):
                # Raise the right error for whatever else is in its place.
                (cache_dir / name).mkdir(exist_ok=True)
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
