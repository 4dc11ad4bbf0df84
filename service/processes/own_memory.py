"""Whether other processes of the same user may read this one's memory and first environment.

Linux alone: elsewhere both functions do nothing.
"""

import sys

_PR_SET_DUMPABLE = 4
"""From `linux/prctl.h`. What is not dumpable can't be traced, nor its `/proc/PID/environ` read."""


def hide_memory() -> None:
    """Let no other process of this user read this one; what is forked from here is hidden, too."""
    _set_dumpable(0)


def show_memory() -> None:
    """Let this process be read again, as any other: one that model code runs in has no secrets."""
    _set_dumpable(1)


def _set_dumpable(value: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - Linux only

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, value, 0, 0, 0)
