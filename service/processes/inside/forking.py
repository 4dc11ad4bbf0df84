"""What runs in the fork server of an environment: imports for all of its children, then forks.

It is a child by command line itself, so it ends with the server process, hides its memory, and is
ended where it hangs. Its children wait for what they are to run as any other child does.
"""

import contextlib
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import FrameType
from typing import NoReturn

import msgspec

from service.processes import guardian
from service.processes.fork_messages import (
    DESCRIPTORS,
    FORK,
    ForkReply,
    ForkRequest,
    ForkServerArguments,
)
from service.processes.inside import bootstrap
from service.processes.inside.model_processes import take_in_orphans
from service.processes.output import InheritedOutput


class Forking:
    """Forks children, and tells the server process how they ended."""

    def __init__(self, requests: socket.socket) -> None:
        """Take the descriptors of each child from the socket `requests`."""
        self._requests = requests
        self._statuses: dict[int, int] = {}
        """Where the status of each child is told, by its process."""

    def fork(self, request: ForkRequest) -> ForkReply:
        """Fork a child. Raise OSError where the system will not."""
        _, descriptors, _, _ = socket.recv_fds(self._requests, 1, DESCRIPTORS)
        try:
            # Its end must not be told before it is known where.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            pid = os.fork()
            if not pid:
                self._become_child(request, descriptors)
            *_, status = descriptors
            self._statuses[pid] = os.dup(status)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return ForkReply(pid)

    def reap(self, _signal: int, _frame: FrameType | None) -> None:
        """Take the status of every child that has ended, and of what children have left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            told = self._statuses.pop(pid, None)
            if told is not None:
                code = os.waitstatus_to_exitcode(status)
                # The server process may have given it up.
                with contextlib.suppress(BrokenPipeError):
                    os.write(told, code.to_bytes(4, sys.byteorder, signed=True))
                os.close(told)

    def _become_child(self, request: ForkRequest, descriptors: Sequence[int]) -> NoReturn:
        """Be the child, until it ends: nothing of the fork server's own may run in it."""
        code = 1
        try:
            pipe, output, alive, status = descriptors
            os.setpgid(0, 0)
            guardian.take_mark(request.mark)
            bootstrap.end_with(alive)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            self._requests.close()
            # The server process must see their end once the fork server is gone.
            for other in (*self._statuses.values(), status):
                os.close(other)
            for standard in (1, 2):
                os.dup2(output, standard)
            os.close(output)
            bootstrap.serve_as_told(Connection(pipe), InheritedOutput())
            code = 0
        except SystemExit as end:
            sys.stderr.write(f"{end}\n")
        except BaseException:  # noqa: BLE001 - as at the end of any program
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)


def operations(arguments: bytes) -> bootstrap.Operations:
    """Import what children need, and return what a fork server can be asked for.

    What can't be imported fails in the child that needs it.
    """
    told = msgspec.msgpack.decode(arguments, type=ForkServerArguments)
    take_in_orphans()
    for name in told.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    forking = Forking(socket.socket(fileno=told.socket))
    signal.signal(signal.SIGCHLD, forking.reap)
    return {FORK: (ForkRequest, forking.fork)}
