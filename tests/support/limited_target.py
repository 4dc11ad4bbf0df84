"""What children under limits are asked to try."""

import ctypes
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from service.processes.inside.bootstrap import Operations
from service.processes.protocol import Nothing
from tests.support.child_targets import Number

_IN_ANOTHER_PROGRAM = "import socket; socket.socket()"
_PTRACE_ATTACH, _PIDFD_GETFD, _IO_URING_SETUP, _X32_SOCKET = 16, 438, 425, 0x4000_0000 + 41


class Tried(msgspec.Struct):
    """What came of each attempt, and what the system says of the process."""

    outcomes: dict[str, str]
    new_privileges: str
    files: tuple[int, int]
    opened: int
    imported_under: int
    """How many descriptors it might have when this module was imported."""


class Hold(msgspec.Struct, frozen=True):
    """How much memory to take, and in which processes."""

    bytes: int
    processes: int = 0
    seconds: float = 600.0


_held: list[bytearray] = []
_imported_under, _ = resource.getrlimit(resource.RLIMIT_NOFILE)


def operations(_: bytes) -> Operations:
    """Return what these children can be asked for."""
    return {
        "try": (Nothing, _try),
        "hold": (Hold, _hold),
        "pid": (Nothing, lambda _: Number(os.getpid())),
    }


def _try(_: Nothing) -> Tried:
    attempts: dict[str, Callable[[], object]] = {
        "tcp": lambda: socket.create_connection(("127.0.0.1", 9), 1),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "tcp6": lambda: socket.socket(socket.AF_INET6),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "vsock": lambda: socket.socket(socket.AF_VSOCK),
        "io_uring": lambda: _call(_IO_URING_SETUP, 1, ctypes.create_string_buffer(256)),
        "x32": lambda: _call(_X32_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0),
        "descriptor": lambda: _call(_PIDFD_GETFD, os.pidfd_open(os.getppid()), 0, 0),
        "program": lambda: subprocess.run(
            [sys.executable, "-ISc", _IN_ANOTHER_PROGRAM], check=True, capture_output=True
        ),
        "unix": lambda: socket.socket(socket.AF_UNIX),
        "pair": socket.socketpair,
        "pipe": os.pipe,
    }
    outcomes = {name: _outcome(attempt) for name, attempt in attempts.items()}
    status = Path("/proc/self/status").read_text()
    new_privileges = status.partition("NoNewPrivs:")[2].split()[0]
    opened: list[int] = []
    with suppress(OSError):
        while len(opened) < 10_000:
            opened.append(os.dup(2))
    for descriptor in opened:
        os.close(descriptor)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Tried(outcomes, new_privileges, limit, len(opened), _imported_under)


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, subprocess.CalledProcessError) as error:
        return type(error).__name__
    return "done"


def _call(number: int, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _hold(what: Hold) -> Nothing:
    """Take memory and keep it for a while, here or in processes that are started for it."""
    if not what.processes:
        _held.append(bytearray(os.urandom(2**20)) * (what.bytes // 2**20))
    for _ in range(what.processes):
        if os.fork() == 0:
            os.setsid()
            _held.append(bytearray(os.urandom(2**20)) * (what.bytes // 2**20))
            time.sleep(what.seconds)
            os._exit(0)
    time.sleep(what.seconds)
    return Nothing()
