"""Run a program at the lowest priority: this process becomes it. Imports nothing of ours.

The server process starts this file by command line, with a mark (see `processes/guardian.py`) and
the program's own command line. What is changed here holds for all that the program starts.
"""

import contextlib
import ctypes
import os
import platform
import sys

if sys.platform == "linux":
    import resource

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""The number of the system call, which the C library has no function for."""
_THIS_PROCESS = 1
_IDLE_CLASS = 3 << 13
"""`IOPRIO_CLASS_IDLE`: the disk is used while nobody else wants it."""
_LOWEST = 19


def lower() -> None:
    """Take CPU and disk only while nobody else wants them, as far as the system has that."""
    if not hasattr(os, "nice"):
        return
    with contextlib.suppress(OSError):
        os.nice(_LOWEST)
    call = _IOPRIO_SET.get(platform.machine()) if sys.platform == "linux" else None
    if call is not None:
        ctypes.CDLL(None).syscall(call, _THIS_PROCESS, 0, _IDLE_CLASS)


def mark(value: int) -> None:
    """Mark this process, so that it ends with the service, however that ends."""
    if value and sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
            resource.setrlimit(resource.RLIMIT_RTTIME, (value, hard))


if __name__ == "__main__":
    mark(int(sys.argv[1]))
    lower()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the server process's own choice
