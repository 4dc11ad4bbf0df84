"""Where temporary files go: a folder for each process, which the next one to start removes."""

import contextlib
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Self

import filelock

from service.runtimes.own_folder import own_folder
from service.settings import SettingsError

_PRIVATE = 0o700
_LONGEST_SOCKET_FOLDER = 60
"""Characters: a Unix socket's path holds 107, and multiprocessing adds two random names to ours."""


class TempFolder:
    """A folder of this process's own below `root`, held by a lock as long as the process lives.

    What processes left there that were killed is removed. A read-only root file system has no
    other place for temporary files; several services may share `root`.
    """

    def __init__(self, root: Path) -> None:
        """Make the folder. Raise OSError where the disk does not let us."""
        root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        _remove_left_behind(root)
        name = uuid.uuid4().hex[:8]
        # Kept: losing the object would let go of the lock.
        self._lock = filelock.FileLock(root / f"{name}.lock", thread_local=False)
        self._lock.acquire(timeout=0)
        self.path = root / name
        self.path.mkdir(mode=_PRIVATE)

    @classmethod
    def below(cls, cache_dir: Path) -> Self:
        """Make the folder where a service has its own."""
        return cls(cache_dir / "temp")

    def use(self) -> None:
        """Have this process put its temporary files there, unless a socket's path is too long."""
        if len(str(self.path)) <= _LONGEST_SOCKET_FOLDER:
            tempfile.tempdir = str(self.path)


def require_writable(cache_dir: Path) -> str:
    """Make CACHE_DIR this user's own. Return a caution, or '' where nothing is wrong with it.

    Raise SettingsError where nothing can be written there, or everyone may write to it.
    """
    try:
        caution = own_folder(cache_dir)
        with tempfile.TemporaryFile(dir=cache_dir):
            pass
    except OSError as error:
        raise SettingsError(
            f"CACHE_DIR: {cache_dir} can't be written to ({error.strerror}); allowed is a folder "
            "that this user may write to"
        ) from None
    return caution


def _remove_left_behind(root: Path) -> None:
    for file in root.glob("*.lock"):
        lock = filelock.FileLock(file, thread_local=False)
        with contextlib.suppress(OSError, filelock.Timeout):
            lock.acquire(timeout=0)
            shutil.rmtree(root / file.stem, ignore_errors=True)
            lock.release()
            file.unlink(missing_ok=True)
