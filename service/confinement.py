"""What a process can give up for good, with all that it starts: descriptors, privileges, network.

Without any privilege of its own, so that it works in a container as well. Linux alone, but for the
number of descriptors.

The network is closed by a seccomp filter, which needs neither a user namespace (containers and
distributions forbid these) nor Landlock (which knows TCP alone): no socket but `AF_UNIX` can be
made. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from service import windows
from service.core.worker_limits import WorkerLimits

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_ALL_THREADS = 1
_KILL_PROCESS, _REFUSE, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; of an argument's low half, where that comes first."""
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""Instructions of classic BPF: load a word, jump if equal, jump if not less, return."""
_AF_UNIX = 1
_X32 = 0x4000_0000
"""Calls from this number on are those of a second table, with the same architecture."""


class _Calls(NamedTuple):
    """An architecture as seccomp names it, and its numbers of system calls."""

    audit: int
    seccomp: int
    socket: int
    others: tuple[int, ...]
    """Those that open a way around the filter: io_uring_setup, ptrace, process_vm_writev,
    pidfd_getfd."""


_CALLS = {
    "x86_64": _Calls(0xC000_003E, 317, 41, (425, 101, 311, 438)),
    "aarch64": _Calls(0xC000_00B7, 277, 198, (425, 117, 271, 438)),
}


def why_not(limits: WorkerLimits) -> str:
    """Say which of these limits this system does not have, '' where it has all of them."""
    if limits.files and not windows.has_limits():
        return "files: this system has no such limit"
    is_linux = sys.platform == "linux"
    if limits.memory_bytes and not (is_linux and os.access("/proc/self/status", os.R_OK)):
        return "memory: it can be watched on Linux alone, where /proc is mounted"
    if limits.no_new_privileges and not is_linux:
        return "no_new_privileges: Linux alone has it"
    if limits.no_network and not _can_filter():
        return (
            "no_network: it takes Linux on x86_64 or aarch64, and a kernel that lets a process "
            "filter its own system calls (seccomp)"
        )
    return ""


def confine(limits: WorkerLimits) -> None:
    """Give up in this process what these limits forbid. Raise OSError where that is not possible.

    The limit of memory is no part of it: it is watched from outside.
    """
    if limits.files:
        _limit_files(limits.files)
    if sys.platform != "linux":
        return
    if limits.no_new_privileges or limits.no_network:
        # A filter wants it of what has no privilege.
        _checked("no_new_privileges", _libc().prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if limits.no_network:
        _close_network()


def _limit_files(most: int) -> None:
    import resource  # noqa: PLC0415 - POSIX only

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _can_filter() -> bool:
    """Tell whether this kernel lets a process filter its system calls."""
    calls = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if calls is None or sys.byteorder != "little":
        return False
    wanted = ctypes.c_uint32(_REFUSE)
    answer: int = _libc().syscall(calls.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(wanted))
    return answer == 0


def _close_network() -> None:
    """Let this process and all that it starts make no socket but `AF_UNIX`."""
    calls = _CALLS.get(platform.machine())
    if calls is None:
        raise OSError(errno.ENOSYS, "no_network: not on this architecture")
    program = ctypes.create_string_buffer(b"".join(_filter(calls)))
    count = (len(program) - 1) // 8
    # `struct sock_fprog`: a count, and behind what aligns it a pointer.
    told = struct.pack("@HP", count, ctypes.addressof(program))
    filter_set = (calls.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.c_char_p(told))
    _checked("no_network", _libc().syscall, *filter_set)


def _filter(calls: _Calls) -> list[bytes]:
    """Return the program that the kernel asks at each system call."""
    refuse = _REFUSE | errno.EACCES
    refused = [*calls.others]
    return [
        _do(_LOAD, _ARCHITECTURE),
        # Calls by another architecture's table (32 bits) have other numbers.
        _do(_EQUAL, calls.audit, then=1),
        _do(_RETURN, _KILL_PROCESS),
        _do(_LOAD, _NUMBER),
        _do(_AT_LEAST, _X32, otherwise=1),
        _do(_RETURN, refuse),
        *(
            instruction
            for number in refused
            for instruction in (_do(_EQUAL, number, otherwise=1), _do(_RETURN, refuse))
        ),
        _do(_EQUAL, calls.socket, otherwise=3),
        _do(_LOAD, _FIRST_ARGUMENT),
        _do(_EQUAL, _AF_UNIX, then=1),
        _do(_RETURN, refuse),
        _do(_RETURN, _ALLOW),
    ]


def _do(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return one instruction; `then` and `otherwise` are how many are left out after it."""
    return struct.pack("=HBBI", code, then, otherwise, value)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(what: str, call: Callable[..., int], *arguments: Any) -> None:
    """Call the kernel. Raise OSError where it says no, or where a thread could not be included."""
    ctypes.set_errno(0)
    answer = call(*arguments)
    if answer:
        number = ctypes.get_errno() if answer < 0 else errno.EBUSY
        raise OSError(number, f"{what}: {os.strerror(number)}")
