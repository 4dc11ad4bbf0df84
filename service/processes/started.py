"""A child's process: killed for certain, and waited for within a limit."""

import contextlib
import os
import select
import signal
from multiprocessing.util import Finalize
from typing import Protocol

from service import windows
from service.processes.guardian import end_marked

_STATUS_TIMEOUT_S = 3.0


class Process(Protocol):
    """What starts a child returns this: multiprocessing's, or one of our own."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    @property
    def exitcode(self) -> int | None:
        """How it ended: a status, or the negative number of a signal; None where nobody knows."""

    def join(self, timeout: float) -> None:
        """Wait for its end, and take its status."""

    def kill(self) -> None:
        """Kill it."""

    def close(self) -> None:
        """Let go of it, once it has ended."""


class StartedProcess:
    """A process with what it is found by: a descriptor, and the mark of all that it starts.

    It is killed at this process's exit, too, where that skips the service's shutdown.
    """

    def __init__(self, process: Process, pid: int, mark: int) -> None:
        self.pid = pid
        self.pidfd: int | None = None
        """Readable once it has ended; None where the system has no such descriptors."""
        self._process = process
        self._mark = mark
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(pid)
        self._finalizer = Finalize(None, _kill, (pid, self.pidfd, mark, process), exitpriority=100)

    def kill(self) -> None:
        """Kill it; by its descriptor, whose number can't be another's.

        Where processes have no marks, so that nobody would find what it started, its group as well.
        """
        _kill(self.pid, self.pidfd, self._mark, self._process)

    def end(self, timeout_s: float) -> tuple[int | None, int]:
        """Wait for its end, and kill what it has started. Blocks.

        Return how it ended, None where nobody knows, and how many of its processes are left.
        """
        self._await_end(timeout_s)
        left = end_marked((self._mark,), timeout_s) if self._mark else 0
        # Told by the fork server, which may hang.
        self._process.join(_STATUS_TIMEOUT_S)
        return self._process.exitcode, left

    def close(self) -> None:
        """Let go of it, once it has ended."""
        self._finalizer.cancel()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self._process.exitcode is not None:
            self._process.close()

    def _await_end(self, timeout_s: float) -> None:
        """Wait for the process itself: `join` returns early where the fork server has ended."""
        if self.pidfd is None:
            return
        ended = select.poll()
        ended.register(self.pidfd, select.POLLIN)
        ended.poll(timeout_s * 1000)


def _kill(pid: int, pidfd: int | None, mark: int, process: Process) -> None:
    if not windows.has_process_groups():
        process.kill()
        return
    if not mark:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, OSError):
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
