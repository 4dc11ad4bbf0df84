"""Where temporary files go: a folder for each process, which the next one to start removes."""

import contextlib
import errno
import shutil
import tempfile
import uuid
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import filelock

from service import windows
from service.processes.own_folder import FolderError

_PRIVATE = 0o700
_LONGEST_SOCKET_FOLDER = 60
"""Characters: a Unix socket's path holds 107, and multiprocessing adds two random names to ours."""

_TRIES = 20


class TempFolder:
    """A folder of this process's own below `root`, held by a lock as long as the process lives.

    What processes left there that were killed is removed. A read-only root file system has no
    other place for temporary files; several services may share `root`.
    """

    def __init__(self, root: Path) -> None:
        """Make the folder. Raise FolderError where that can't be done."""
        try:
            root.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            _remove_left_behind(root)
            # Kept: losing the object would let go of the lock.
            self._lock = _new_lock(root)
            self.path = Path(self._lock.lock_file).with_suffix("")
            self.path.mkdir(mode=_PRIVATE)
        except OSError as error:
            raise FolderError(
                f"no folder for temporary files can be made in {root} "
                f"({error.strerror or error}); allowed is a folder that this user may write to"
            ) from None

    def use(self) -> None:
        """Have this process put its temporary files there, unless a socket's path is too long."""
        if len(str(self.path)) <= _LONGEST_SOCKET_FOLDER:
            tempfile.tempdir = str(self.path)


async def remove_folder(folder: Path) -> None:
    """Remove what a process had for itself, once it has ended; to the end, even if cancelled."""
    with anyio.CancelScope(shield=True):
        # What can't be removed now goes with the rest at the next start.
        await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


def _new_lock(root: Path) -> filelock.BaseFileLock:
    """Make and hold a lock of a new name. Raise OSError where that does not succeed.

    Another service that starts now may take the new file for one that was left behind, and remove
    it before it is locked. Then the next name is tried.
    """
    for _ in range(_TRIES):
        lock = filelock.FileLock(root / f"{uuid.uuid4().hex[:8]}.lock", thread_local=False)
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            if Path(lock.lock_file).exists():
                return lock
            lock.release()
    raise OSError(errno.EBUSY, "other services remove each new folder there")


def _remove_left_behind(root: Path) -> None:
    for file in root.glob("*.lock"):
        lock = filelock.FileLock(file, thread_local=False)
        with contextlib.suppress(OSError, filelock.Timeout):
            lock.acquire(timeout=0)
            try:
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                # While it is held: what opened it before finds then that the file is gone.
                if not windows.holds_open_files():
                    file.unlink(missing_ok=True)
            finally:
                lock.release()
            if windows.holds_open_files():
                file.unlink(missing_ok=True)
