"""End all processes that a child's code has started, also where the server process is killed.

Each child gets a mark from the kernel that its descendants inherit, whatever they do: fork, start
another program, begin a session, lose their parent. The mark is a value of `RLIMIT_RTTIME`, a limit
on real-time scheduling so high that it limits nothing; anybody may read it in `/proc`. The server
process looks for a child's mark when the child has ended. The guardian, a small process beside it,
does so for all marks of a service once the server process is gone.

Imports nothing of ours: the guardian runs this file alone, in an interpreter without packages.
"""

import contextlib
import itertools
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Container

if sys.platform == "linux":
    import resource

_NUMBERS = 2**24
"""Marks of one service: more than it starts children."""
_TRACKER_GRACE_S = 1.0
"""What multiprocessing's resource tracker gets to remove the semaphores of those that were killed.

It ends by itself once they are gone.
"""
_GIVE_UP_S = 10.0
_PAUSE_S = 0.01
_ROOT = 0
LIMIT = b"Max realtime timeout"


class Guard:
    """The server process's side: hands out marks, and keeps a guardian running."""

    def __init__(self, limit: bytes = LIMIT) -> None:
        """`limit` is what the kernel calls the limit that holds marks."""
        self._base = 2**61 + secrets.randbelow(2**36) * _NUMBERS
        self._numbers = itertools.count(1)
        self.process: subprocess.Popen[bytes] | None = None
        """The guardian, where there is one."""
        self._has_marks = _has_marks(limit)

    @property
    def pid(self) -> int | None:
        """The guardian's process, where there is one."""
        return self.process.pid if self.process else None

    def new_mark(self) -> int:
        """Return a mark that no other child has; 0, which is none, where there are no marks."""
        if not self._has_marks:
            return 0
        return self._base + next(self._numbers) % _NUMBERS

    def ensure_running(self) -> None:
        """Start the guardian where there is none. Raise OSError where the system will not."""
        if not self._has_marks:
            return
        if self.process is not None:
            if self.process.poll() is None:
                return
            self.close()
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter, this file, two numbers # novm
            # Isolated and without site packages: it begins in 10 ms and takes few megabytes.
            [sys.executable, "-I", "-S", __file__, str(self._base), str(self._base + _NUMBERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # What is sent to the server process's group is not for it.
            process_group=0,
        )

    def mark_helper(self, pid: int) -> None:
        """Mark a process that starts children, as long as it is one of this process's own."""
        set_mark(pid, self._base)

    def close(self) -> None:
        """Have the guardian end all that has a mark of this service, and itself."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


def take_mark(mark: int) -> None:
    """Mark this process, and all that it starts from now on; does nothing for mark 0."""
    set_mark(0, mark)


def set_mark(pid: int, mark: int) -> None:
    """Mark a process of this process's own; does nothing for mark 0."""
    if mark:
        with contextlib.suppress(OSError, ValueError):
            _set(pid, mark)


def end_marked(marks: Container[int], timeout_s: float = _GIVE_UP_S) -> int:
    """Kill every process that has one of these marks, and return how many are left.

    Looks again until there is none: one that starts others all the while is found by its children.
    Blocks, usually for one look, which takes a few milliseconds.
    """
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        found = [pid for pid in pids() if mark_of(pid) in marks and not _has_ended(pid)]
        now = time.monotonic()
        if not found or now - began > timeout_s:
            return len(found)
        trackers = [pid for pid in found if _is_tracker(pid)]
        may_stay = now - began < _TRACKER_GRACE_S
        for pid in found:
            if not (may_stay and pid in trackers):
                _kill(pid, marks)
        # A look at all processes of a large machine must not become all that it does.
        time.sleep(max(_PAUSE_S, now - looked))


def reap_marked(mark: int) -> None:
    """Take the status of what has this mark, has ended, and was left to this process.

    The first process of a container becomes the parent of every process that loses its own.
    """
    for pid in pids() if mark else ():
        if mark_of(pid) == mark:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _has_marks(limit: bytes) -> bool:
    """Tell whether the system knows this limit, shows it, and lets it be as high as a mark."""
    if sys.platform != "linux" or limit not in _read("/proc/self/limits"):
        return False
    return resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY


def _set(pid: int, mark: int) -> None:
    if sys.platform == "linux":
        _, hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (mark, hard))


def pids() -> list[int]:
    """List the processes that may be of this user; a process that hides its memory is root's."""
    mine = {os.geteuid(), _ROOT}
    pids = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each would take most of the time
        if name.isdecimal():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid in mine:  # noqa: PTH116 - the same
                    pids.append(int(name))
    return pids


def mark_of(pid: int) -> int:
    """Return a process's mark, 0 where it has none."""
    for line in _read(f"/proc/{pid}/limits").splitlines():
        if line.startswith(LIMIT):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else 0
    return 0


def _has_ended(pid: int) -> bool:
    """Tell whether nothing but its status is left."""
    state = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return not state or state[0] in {b"Z", b"X"}


def _is_tracker(pid: int) -> bool:
    return b"resource_tracker import main" in _read(f"/proc/{pid}/cmdline")


def _kill(pid: int, marks: Container[int]) -> None:
    """Kill by a descriptor, whose number can't have become another process's since the look."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if mark_of(pid) in marks:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return b""


def guard(first: int, end: int) -> None:
    """Wait until the server process has ended, however it did, and end what it leaves behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    # It alone holds the other end, on which nothing is ever sent.
    ended = select.poll()
    ended.register(0, select.POLLIN)
    ended.poll()
    end_marked(range(first, end))


if __name__ == "__main__":
    guard(int(sys.argv[1]), int(sys.argv[2]))
