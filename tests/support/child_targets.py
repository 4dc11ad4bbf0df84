"""What the tests' children run: small operations, good and bad."""

# ruff: noqa: T201 - what children print is what is tested

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import msgspec

from service.core.errors import ContractViolationError, SourceUnavailableError
from service.processes.inside.bootstrap import Operations
from service.processes.protocol import Errors, Fault, Nothing, by_message


class Text(msgspec.Struct, frozen=True):
    """A word."""

    text: str


class Data(msgspec.Struct, frozen=True):
    """A lot."""

    data: bytes


class Number(msgspec.Struct, frozen=True):
    """A number."""

    number: float


def _violation(fault: Fault) -> ContractViolationError:
    place = fault.extras
    row = place["row"]
    return ContractViolationError(
        str(place["path"]),
        None if row is None else int(row),
        str(place["expected"]),
        str(place["got"]),
    )


ERRORS: Errors = {
    **by_message(SourceUnavailableError),
    ContractViolationError.code: _violation,
}
"""Errors that come back as themselves, as a service says for its own operations."""


class OnlyHereError(Exception):
    """Unpickling it would give it away: it says so in a file of the server process's."""

    def __reduce__(self) -> tuple[object, ...]:
        """Have the process that unpickles it run code."""
        return os.mkdir, ("unpickled-in-the-server",)


class SilentError(Exception):
    """Can't even say what it is."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("no message either")


def operations(arguments: bytes) -> Operations:
    """Return what these children can be asked for."""
    print("begun", file=sys.stderr)
    return {
        "arguments": (Nothing, lambda _: Data(arguments)),
        "echo": (Data, lambda given: given),
        "pid": (Nothing, lambda _: Number(os.getpid())),
        "environment": (Text, lambda name: Text(os.environ.get(name.text, ""))),
        "say": (Text, _say),
        "fail": (Text, _fail),
        "end": (Text, _end),
        "sleep": (Number, _sleep),
        "steps": (Text, _steps),
        "offers": (Number, _offers),
        "compute": (Number, _compute),
        "busy": (Number, _busy),
        "signal_group": (Nothing, _signal_group),
        "start_grandchild": (Nothing, _start_grandchild),
        "start_processes": (Text, _start_processes),
        "fork_and_raise": (Nothing, _fork_and_raise),
        "unencodable": (Nothing, lambda _: object()),
        "send": (Data, _send),
    }


def slow_to_warm(_: bytes) -> Operations:
    """Take long to become warm."""
    time.sleep(60)
    return {}


def broken(_: bytes) -> NoReturn:
    """Never become warm."""
    print("this will not do")
    raise RuntimeError("broken at start")


def _say(words: Text) -> Nothing:
    print(words.text)
    print(words.text, file=sys.stderr)
    os.write(1, b"written below Python\n")
    return Nothing()


def _fail(how: Text) -> NoReturn:
    match how.text:
        case "unknown class":
            raise OnlyHereError("only here")
        case "silent":
            raise SilentError
        case "surrogate":
            raise ValueError("no UTF-8: \udcff")
        case "exit":
            raise SystemExit(3)
        case "ours":
            raise SourceUnavailableError("the registry is down")
        case _:
            raise ContractViolationError("instances[3].a", 3, "a number", "a string")


def _send(raw: Data) -> Nothing:
    """Send bytes to the server process, as a model could that looks for what it was not given."""
    (pipe,) = (
        found
        for found in gc.get_objects()
        if isinstance(found, Connection) and found.readable and found.writable and not found.closed
    )
    os.write(pipe.fileno(), raw.data)
    time.sleep(60)
    return Nothing()


def _end(words: Text) -> NoReturn:
    print("one line")
    print(words.text)
    sys.stdout.flush()
    os._exit(7)


def _sleep(seconds: Number) -> Nothing:
    time.sleep(seconds.number)
    return Nothing()


def _compute(seconds: Number) -> Nothing:
    until = time.monotonic() + seconds.number
    while time.monotonic() < until:
        pass
    return Nothing()


def _busy(seconds: Number) -> Nothing:
    """Hold the GIL in C code: no thread and no signal handler of Python's can run."""
    ctypes.PyDLL(None).sleep(int(seconds.number))
    return Nothing()


def _steps(given: Text) -> Generator[None, None, Text]:
    """Go on until the file of that name is there, and tell how many chunks that took.

    With `fail` in it, fail then.
    """
    steps, path = 0, Path(given.text)
    while not path.exists():
        steps += 1
        time.sleep(0.01)
        yield
    if path.read_text() == "fail":
        raise ContractViolationError("a", 0, "no failure", "one")
    return Text(f"{steps} steps")


def _offers(steps: Number) -> Generator[None, None, Number]:
    """Go on for so many chunks, and tell how often the CPU was offered between them."""
    with mock.patch.object(os, "sched_yield") as offer:
        for _ in range(int(steps.number)):
            yield
    return Number(offer.call_count)


def _signal_group(_: Nothing) -> Nothing:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    return Nothing()


def _start_grandchild(_: Nothing) -> Number:
    """Start what a model might: a process of its own, with our pipes."""
    return Number(subprocess.Popen(["sleep", "600"], close_fds=False).pid)  # noqa: S607


def _start_processes(given: Text) -> Text:
    """Start processes as models do, in the way that is named; tell what came, or what stays."""
    how, _, method = given.text.partition(":")
    context: Any = multiprocessing.get_context(method or "fork")
    told: object
    match how:
        case "pool":
            with context.Pool(2) as pool:
                told = pool.map(abs, [-1, -2])
        case "executor":
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                told = list(executor.map(abs, [-1, -2]))
        case "prints":
            process = context.Process(target=print, args=("from below",), kwargs={"flush": True})
            process.start()
            process.join()
            told = process.exitcode
        case "terminated":
            process = context.Process(target=time.sleep, args=(600,))
            process.start()
            process.terminate()
            process.join()
            told = process.exitcode
        case "stays":
            process = context.Process(target=time.sleep, args=(600,))
            process.start()
            told = process.pid
        case "semaphore":
            _kept.append(context.Semaphore())
            told = _kept[-1]._semlock.name
        case _:
            told = _started_elsewhere(how)
    return Text(str(told))


_kept: list[Any] = []


def _started_elsewhere(how: str) -> int:
    """Start a process that lives in a session of its own; `daemon` is a child of a child's."""
    if how == "session":
        return subprocess.Popen(["sleep", "600"], start_new_session=True, env={}).pid  # noqa: S607
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(writer, str(pid).encode())
            os._exit(0)
        time.sleep(600)
        os._exit(0)
    os.wait()
    return int(os.read(reader, 20))


def _fork_and_raise(_: Nothing) -> Number:
    """Fork, and raise in what was forked: nobody catches it before the loop that answers."""
    pid = os.fork()
    if pid == 0:
        raise RuntimeError("in the fork")
    return Number(pid)
