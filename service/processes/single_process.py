"""One server process for each service: a second one would load every model again and swap alone.

Server processes that a supervisor starts together (`uvicorn --workers 2`, `gunicorn -w 2`) have
inherited one socket that listens. The first of them holds a lock that is named by this socket; any
other one ends them all.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import filelock

SENTENCE = (
    "hotswap serves from one process and was started with several: drop --workers (or -w, or "
    "WEB_CONCURRENCY), and set WORKERS for more worker processes behind it."
)
_TAKE_OVER_S = 25.0
"""gunicorn, told to reload, starts a process beside the one that still drains; within the 30 s
after which it would end a process that says nothing."""
_GRACE_S = 10.0
_PAUSE_S = 0.1
_STARTUP_FAILURE = 3
"""uvicorn's and gunicorn's own status for an application that does not start."""
_DESCRIPTORS = (Path("/proc/self/fd"), Path("/dev/fd"))


def hold_listener(folder: Path, take_over_s: float = _TAKE_OVER_S) -> filelock.BaseFileLock | None:
    """Hold the lock of the listening socket that this process has inherited, while it is kept.

    Return None where there is no such socket: a server that opens it itself is the only one. Where
    another process holds the lock, end this one, that one and what has started them. `folder` is
    one of temporary files, where locks that nobody holds are removed.
    """
    inode = _inherited_socket()
    if inode is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}-{inode}"
    # One for a process, which may make its application twice.
    lock = filelock.FileLock(folder / f"{name}.lock", thread_local=False, is_singleton=True)
    supervisor = multiprocessing.parent_process()
    started_by = os.getppid() if supervisor is None else supervisor.pid
    about = folder / name
    about.mkdir(exist_ok=True)
    said = about / f"said-{started_by}"
    try:
        # What multiprocessing has started is one of several, or comes after the one before.
        lock.acquire(timeout=take_over_s if supervisor is None else 0)
    except filelock.Timeout:
        _end_all(lock, about / "pid", said)
    if said.exists():
        # All end; this one only came later than the others.
        os._exit(_STARTUP_FAILURE)
    (about / "pid").write_text(str(os.getpid()))
    return lock


def _inherited_socket() -> int | None:
    """Return the inode of a socket of this process that is bound, and connected to nothing."""
    folder = next((folder for folder in _DESCRIPTORS if folder.is_dir()), None)
    if folder is None:
        return None
    for descriptor in sorted(int(entry.name) for entry in folder.iterdir()):
        # The descriptor of this look itself is closed by now.
        with contextlib.suppress(OSError):
            found = os.fstat(descriptor)
            if stat.S_ISSOCK(found.st_mode) and _is_bound(descriptor):
                return found.st_ino
    return None


def _is_bound(descriptor: int) -> bool:
    # It need not listen yet: uvicorn's supervisor leaves that to its children.
    with _looked_at(descriptor) as found:
        address = found.getsockname()
        has_address = bool(address[1] if isinstance(address, tuple) else address)
        if found.type != socket.SOCK_STREAM or not has_address:
            return False
        try:
            found.getpeername()
        except OSError:
            return True
        return False


@contextlib.contextmanager
def _looked_at(descriptor: int) -> Iterator[socket.socket]:
    """Look at a descriptor as a socket, and leave it open."""
    with socket.socket(fileno=os.dup(descriptor)) as found:
        yield found


def _end_all(lock: filelock.BaseFileLock, holder: Path, said: Path) -> NoReturn:
    """End this process, the one that holds the lock and a supervisor; one process says why."""
    supervisor = multiprocessing.parent_process()
    try:
        said.touch(exist_ok=False)
    except FileExistsError:
        if supervisor is not None:
            supervisor.join(_GRACE_S)
        os._exit(_STARTUP_FAILURE)
    sys.stderr.write(f"{SENTENCE}\n")
    sys.stderr.flush()
    if supervisor is not None and supervisor.pid is not None:
        # uvicorn's. Any softer signal ends it with status 0, and so does its child's own end.
        os.kill(supervisor.pid, signal.SIGKILL)
        _end_holder(lock, holder)
    # gunicorn ends with this status, once its other processes have drained. Not SystemExit: that
    # would be logged with a traceback.
    os._exit(_STARTUP_FAILURE)


def _end_holder(lock: filelock.BaseFileLock, holder: Path) -> None:
    """End the process that holds the lock, which would serve on. It drains, as at any end."""
    deadline, told = time.monotonic() + _GRACE_S, 0
    while time.monotonic() < deadline:
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=_PAUSE_S)
            return
        # It writes this once it has the lock. What is no sibling of ours is another's, of before.
        with contextlib.suppress(OSError, ValueError):
            pid = int(holder.read_text())
            if pid != told and os.getpgid(pid) == os.getpgrp():
                os.kill(pid, signal.SIGTERM)
                told = pid
