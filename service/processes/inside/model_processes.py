"""Let a child's code start processes of its own, as it could outside: they are ordinary ones.

They end with the child, which `guardian` and the process group see to.
"""

import ctypes
import os
import signal
import sys
import threading
import warnings
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from service import windows

_PR_SET_CHILD_SUBREAPER = 36
_LEFT_TO_THE_SERVER = [signal.SIGINT, signal.SIGTERM]
if windows.has_process_groups():
    _LEFT_TO_THE_SERVER += [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
GROUP_SIGNALS = tuple(_LEFT_TO_THE_SERVER)
"""Signals that a terminal or a service manager may send to every process of a service."""


def allow_processes(connection: Connection) -> None:
    """Prepare this process before it runs anybody's code; `connection` is its pipe to the server.

    Signals of the group do nothing here. By a handler, and not by SIG_IGN, which all that it starts
    would inherit: `Process.terminate` would then end none of them, and wait for ever.
    """
    for number in GROUP_SIGNALS:
        signal.signal(number, _leave_to_the_server)
        if windows.has_process_groups():
            signal.siginterrupt(number, False)  # noqa: FBT003 - no name for it
    if not windows.has_process_groups():
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    _use_own_resource_tracker()
    # As it came from the server process, another program would inherit it.
    os.set_inheritable(connection.fileno(), False)  # noqa: FBT003 - no name for it

    forking = threading.local()

    def before_fork() -> None:
        # One that arrived in the new process before its handlers are its own would be lost.
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)

    def after_fork() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def become_ordinary() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in GROUP_SIGNALS[1:]:
            signal.signal(number, signal.SIG_DFL)
        # Nobody but this process itself may answer calls, whatever its code raises after a fork.
        connection.close()
        after_fork()

    os.register_at_fork(
        before=before_fork, after_in_parent=after_fork, after_in_child=become_ordinary
    )


def take_in_orphans() -> None:
    """Be the parent of what children started and left behind, and so reap it. In the fork server.

    In a container the first process is often the server process, which would never reap it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        # It reaps them with a warning for each.
        warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")


def _use_own_resource_tracker() -> None:
    """Have semaphores and shared memory removed when this process ends, and not the service.

    What the fork server handed on is the server process's own tracker.
    """
    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001 - no public way
    if tracker._fd is not None:  # noqa: SLF001
        os.close(tracker._fd)  # noqa: SLF001
        tracker._fd = None  # noqa: SLF001


def _leave_to_the_server(_signal: int, _frame: FrameType | None) -> None:
    """Do nothing: only the server process ends its children."""
