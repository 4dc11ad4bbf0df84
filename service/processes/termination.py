"""End a process for certain, and wait until it has ended."""

import contextlib
import os
import select
import signal
import sys
from multiprocessing.process import BaseProcess


def await_end(pidfd: int | None, timeout_s: float) -> None:
    """Wait for the process itself: `join` returns at once where the fork server has ended."""
    if sys.platform == "win32" or pidfd is None:
        return
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    ended.poll(timeout_s * 1000)


def kill(pid: int, pidfd: int | None, mark: int, process: BaseProcess) -> None:
    """Kill a child; by its descriptor, whose number can't be another's.

    Where processes have no marks, so that nobody would find what it has started, its group as well.
    """
    if sys.platform == "win32":
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
