"""Become `python ARGUMENTS` as a process that may not look into others, as most containers' are.

Root may read every process's memory and environment; without these capabilities, as in a usual
container, it is refused what any other user is.
"""

import ctypes
import os
import sys

_PR_CAPBSET_DROP = 24
_CAPABILITIES = {"SYS_PTRACE": 19, "SYS_ADMIN": 21, "PERFMON": 38}
"""Each of these lets a process look into others."""

if __name__ == "__main__":
    libc = ctypes.CDLL(None)
    for name, number in _CAPABILITIES.items() if os.geteuid() == 0 else ():
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0):
            sys.exit(f"the capability {name} can't be given up")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - it is our own
