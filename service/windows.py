"""All that is different on Windows. None of it has run there yet.

No other module asks which system this is by that name: what a system can do is asked here, by
plain functions. Untried are all of them, and what follows from their answers:

- a job ends the children with the server process (`hold_children`), and not a signal of the kernel;
- children are spawned, one interpreter each, and a child in another interpreter is refused;
- a child's output goes through a plain pipe, whose handle is handed on (`plain_pipe`);
- replies are read by a thread for each child, since the event loop watches sockets alone there;
- no signals, groups, marks or limits: what a model has started ends with the job;
- files that are open can't be removed or replaced (`holds_open_files`).
"""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

_KILL_ON_JOB_CLOSE = 0x2000
_BREAKAWAY_OK = 0x0800
_EXTENDED_LIMIT_INFORMATION = 9
_IDLE_PRIORITY = 0x40


def has_process_groups() -> bool:
    """Tell whether processes have groups, signals of the group, and a mask for them."""
    return sys.platform != "win32"


def has_limits() -> bool:
    """Tell whether a process can limit what it takes: the module `resource`."""
    return sys.platform != "win32"


def has_owners() -> bool:
    """Tell whether files say which user may do what with them, by `st_uid` and `st_mode`."""
    return sys.platform != "win32"


def polls_pipes() -> bool:
    """Tell whether `select.poll` looks at a pipe."""
    return sys.platform != "win32"


def starts_other_interpreters() -> bool:
    """Tell whether a child can be started by command line, with descriptors of its own."""
    return sys.platform != "win32"


def python_of_venv() -> str:
    """Return the path of the Python of a virtual environment, below its folder."""
    return "Scripts/python.exe" if sys.platform == "win32" else "bin/python"


def syncs_folders() -> bool:
    """Tell whether a folder can be opened, to have a name in it written durably."""
    return sys.platform != "win32"


def holds_open_files() -> bool:
    """Tell whether a file can't be removed or replaced while a process has it open."""
    return sys.platform == "win32"


def offer_cpu() -> None:
    """Let another process that waits for this CPU have it first; return if none does."""
    if sys.platform == "win32":
        time.sleep(0)
    else:
        os.sched_yield()


def claim_address(listener: socket.socket) -> None:
    """Let a socket have its address again soon after a restart, and share it with no other."""
    if sys.platform == "win32":
        # There, SO_REUSEADDR would let us share a port that another program listens on.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def speaks_powershell() -> bool:
    """Tell whether the commands that people get to read are PowerShell's."""
    return sys.platform == "win32"


def group_of_its_own() -> Mapping[str, int | bool]:
    """Return how `Popen` starts a program that a Ctrl-C in the terminal does not reach."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def ask_to_end(process: subprocess.Popen[str]) -> None:
    """Ask a program in a group of its own to end."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.terminate()


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a program and what it has started. The group outlives its leader."""
    if sys.platform == "win32":
        subprocess.run(  # noqa: S603 - Windows' own
            ["taskkill", "/T", "/F", "/PID", str(process.pid)],  # noqa: S607 - on every PATH
            capture_output=True,
            check=False,
        )
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def take_idle_priority() -> bool:
    """Have this process take only the CPU time that nobody else wants; False elsewhere."""
    if sys.platform != "win32":
        return False
    import ctypes  # noqa: PLC0415 - Windows only
    from ctypes import wintypes  # noqa: PLC0415

    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.GetCurrentProcess.restype = wintypes.HANDLE
    kernel32.SetPriorityClass.argtypes = (wintypes.HANDLE, wintypes.DWORD)
    kernel32.SetPriorityClass(kernel32.GetCurrentProcess(), _IDLE_PRIORITY)
    return True


class PlainPipeEnd:
    """The write end of a plain pipe: a Connection's named pipe is overlapped, which C can't use."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a duplicated handle."""
        import msvcrt  # noqa: PLC0415 - Windows only
        from multiprocessing import reduction  # noqa: PLC0415

        handle = msvcrt.get_osfhandle(self._descriptor)  # type: ignore[attr-defined,unused-ignore]
        duplicate = reduction.DupHandle  # type: ignore[attr-defined,unused-ignore]
        return _arrived, (duplicate(handle, 0, None),)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def _arrived(handle: Any) -> PlainPipeEnd:
    import msvcrt  # noqa: PLC0415 - Windows only

    open_handle = msvcrt.open_osfhandle  # type: ignore[attr-defined,unused-ignore]
    return PlainPipeEnd(open_handle(handle.detach(), os.O_WRONLY))


def plain_pipe() -> tuple[int, PlainPipeEnd] | None:
    """Return a pipe for a child's output: the end to read, and the one to send; None elsewhere."""
    if sys.platform != "win32":
        return None
    read_end, write_end = os.pipe()
    return read_end, PlainPipeEnd(write_end)


@functools.cache
def hold_children() -> None:
    """Put this process into a job whose closing ends every process in it. Does nothing elsewhere.

    This process holds its only handle, so the kernel ends the children when it ends, however it
    does (learn.microsoft.com, Job Objects, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE).
    """
    if sys.platform != "win32":
        return
    import ctypes  # noqa: PLC0415 - Windows only
    from ctypes import wintypes  # noqa: PLC0415

    class BasicLimits(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class ExtendedLimits(ctypes.Structure):
        _fields_ = (
            ("BasicLimitInformation", BasicLimits),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.CreateJobObjectW.restype = wintypes.HANDLE
    kernel32.GetCurrentProcess.restype = wintypes.HANDLE
    kernel32.SetInformationJobObject.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        ctypes.c_void_p,
        wintypes.DWORD,
    )
    kernel32.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    job = kernel32.CreateJobObjectW(None, None)
    limits = ExtendedLimits()
    limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE | _BREAKAWAY_OK
    if not (
        job
        and kernel32.SetInformationJobObject(
            job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        and kernel32.AssignProcessToJobObject(job, kernel32.GetCurrentProcess())
    ):
        raise ctypes.WinError(ctypes.get_last_error())
