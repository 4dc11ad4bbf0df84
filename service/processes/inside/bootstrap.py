"""The first and the last code of a child process: tie it to the server process, then serve calls.

Imported by the server process too, for the name of `run` alone: so nothing heavy may be imported
here.
"""

import contextlib
import importlib
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, MutableMapping
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from types import GeneratorType
from typing import Any

import msgspec

from service import windows
from service.confinement import confine
from service.core.child_needs import CHILD_PROTOCOL
from service.processes import guardian
from service.processes.inside.busy_polling import PollingReceiver
from service.processes.inside.model_processes import GROUP_SIGNALS, allow_processes
from service.processes.output import OutputEnd
from service.processes.protocol import (
    PING,
    WARM_ID,
    CountedReply,
    Nothing,
    Reply,
    Request,
    Spoken,
    Start,
    Warm,
    to_fault,
)

_COUNTS_EVERY_S = 0.1
"""Counts wait so long for a reply, if only to a heartbeat: with each one they cost a copy of it."""

Operation = tuple[type[Any], Callable[[Any], Any]]
"""An operation's argument type, and the function that takes it.

One that may take long can be a generator: what it returns is its result, and at each `yield` it
lets another call be answered.
"""
Operations = Mapping[str, Operation]


class CountingOperations(dict[str, Operation]):
    """Operations in which something is counted: what is in `counts` goes with a reply soon.

    `counts` has the counts of each kind; they are cleared once they are on their way.
    """

    def __init__(
        self, operations: Operations, counts: Mapping[str, MutableMapping[str, int]]
    ) -> None:
        super().__init__(operations)
        self.counts = counts


def run(start: bytes, connection: Connection, output: OutputEnd) -> None:
    """Be a child of multiprocessing's, which ends with the server process."""
    if windows.has_process_groups():
        os.setpgid(0, 0)
        parent = parent_process()
        if parent is not None:
            # A pipe whose other end only the server process holds.
            end_with(parent.sentinel)
    serve(start, connection, output)


def serve_as_told(connection: Connection, output: OutputEnd) -> None:
    """Wait for what is to be run, which comes first, and do as `serve` does."""
    try:
        start = connection.recv_bytes()
    except EOFError:
        sys.exit("nobody says what to run")
    serve(start, connection, output)


def serve(start: bytes, connection: Connection, output: OutputEnd) -> None:
    """Import the target of `start`, a `Start`, call it for its operations, and serve them.

    Ends when the server process closes the connection.
    """
    output.take_over()
    spoken = msgspec.msgpack.decode(start, type=Spoken).protocol
    if spoken != CHILD_PROTOCOL:
        sys.exit(
            f"the service speaks version {spoken} of the protocol of its processes, and what is "
            f"installed speaks version {CHILD_PROTOCOL}: restart the service"
        )
    told = msgspec.msgpack.decode(start, type=Start)
    guardian.take_mark(told.mark)
    allow_processes(connection)
    sys.dont_write_bytecode = True
    os.environ.update(told.variables, PYTHONDONTWRITEBYTECODE="1")
    tempfile.tempdir = told.variables.get("TMPDIR")
    # Before anything of a model's is imported. What raises here ends the child: it never starts.
    confine(told.limits)
    module, _, function = told.target.partition(":")
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        # Not a reply like others: what it is about is not the version, but what it runs in.
        connection.send_bytes(_reply(WARM_ID, to_fault(error), ok=False))
        return
    operations: Operations = getattr(imported, function)(told.arguments)
    connection.send_bytes(_reply(WARM_ID, Warm(CHILD_PROTOCOL, platform.python_version())))
    # Bound now: a model may bring modules of the same names as ours, and imports come from it then.
    _Answers(connection, operations, told.busy_poll_s).serve()


def ignore_group_signals() -> None:
    """Leave Ctrl-C and a service manager's signals to the server process. In the fork server."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if windows.has_process_groups():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


def end_with(sentinel: int) -> None:
    """Have the kernel end this process when the server process ends, however it ends.

    `sentinel` is a pipe whose other end only the server process holds: its closing raises SIGIO
    here, whose default action ends the process even while C code holds the GIL, and with it what
    the model has started (the whole process group). Does nothing where processes have no groups.
    """
    if not windows.has_process_groups():
        return
    import fcntl  # noqa: PLC0415 - POSIX only
    import select  # noqa: PLC0415

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgrp())
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    # It may have ended before the signal was armed: then it will never come.
    poll = select.poll()
    poll.register(sentinel, select.POLLIN)
    if poll.poll(0):
        os._exit(1)


class _Answers:
    """Answers calls by the operations of a child."""

    def __init__(self, connection: Connection, operations: Operations, busy_poll_s: float) -> None:
        self._connection = connection
        self._receiver = PollingReceiver(connection, busy_poll_s)
        self._operations = operations
        self._counts: Mapping[str, MutableMapping[str, int]] = (
            operations.counts if isinstance(operations, CountingOperations) else {}
        )
        self._next_counts_s = 0.0
        self._decode_request = msgspec.msgpack.Decoder(Request).decode
        self._decoders = {
            op: msgspec.msgpack.Decoder(kind).decode for op, (kind, _) in operations.items()
        }

    def serve(self) -> None:
        """Answer calls one by one until the connection ends."""
        while True:
            try:
                frame = self._receiver.receive()
            except (EOFError, OSError):
                return
            self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        request = self._decode_request(frame)
        try:
            reply = self._reply(request.id, self._result(request))
        except BaseException as error:  # noqa: BLE001 - a model may raise SystemExit, too
            reply = self._reply(request.id, to_fault(error), ok=False)
        # A reply that finds the server process gone has nobody to tell.
        with contextlib.suppress(BrokenPipeError):
            self._connection.send_bytes(reply)

    def _reply(self, request_id: int, body: object, *, ok: bool = True) -> bytes:
        if not any(self._counts.values()) or time.monotonic() < self._next_counts_s:
            return _reply(request_id, body, ok=ok)
        encoded = msgspec.Raw(msgspec.msgpack.encode(body))
        counts = {kind: dict(counted) for kind, counted in self._counts.items() if counted}
        reply = msgspec.msgpack.encode(CountedReply(request_id, ok, encoded, counts))
        # Not before: a body that can't be encoded is followed by another reply.
        for counted in self._counts.values():
            counted.clear()
        self._next_counts_s = time.monotonic() + _COUNTS_EVERY_S
        return reply

    def _result(self, request: Request) -> object:
        if request.op == PING:
            return Nothing()
        argument = self._decoders[request.op](request.body)
        result = self._operations[request.op][1](argument)
        return self._finished(result) if isinstance(result, GeneratorType) else result

    def _finished(self, chunks: Generator[None, None, object]) -> object:
        """Go on to the end; between two chunks a call that has come is answered.

        Other processes that wait for the CPU get it first, the server process before all: a
        chunked call is not urgent.
        """
        while True:
            try:
                next(chunks)
            except StopIteration as end:
                return end.value
            if not self._receiver.has_frame():
                windows.offer_cpu()
            # One and no more: a call with few chunks left must not wait for all that come now.
            if self._receiver.has_frame():
                self._answer(self._connection.recv_bytes())


def _reply(request_id: int, body: object, *, ok: bool = True) -> bytes:
    encoded = msgspec.Raw(msgspec.msgpack.encode(body))
    return msgspec.msgpack.encode(Reply(request_id, ok, encoded))
