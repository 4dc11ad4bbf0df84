"""Start child processes: a fork server on Linux, spawned interpreters elsewhere."""

import contextlib
import importlib.machinery
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess, _children  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, ClassVar

from service import windows
from service.processes.guardian import Guard
from service.processes.inside import bootstrap
from service.processes.inside.model_processes import GROUP_SIGNALS
from service.processes.output import OutputEnd

if sys.platform == "linux":
    from multiprocessing import forkserver

_ATTEMPTS = 20
_PAUSE_S = 0.1
_HANGING_FORK_SERVERS = 2
_IMPORT_TIMEOUT_S = 120.0
"""What a fork server may take to come up: it imports all that workers need."""

_one_at_a_time = threading.Lock()
guard = Guard()


def preload(modules: Sequence[str]) -> None:
    """Have the next fork server import these modules before it starts its first child.

    Does nothing where children are spawned.
    """
    if sys.platform == "linux":
        forkserver.set_forkserver_preload(list(modules))


def start_fork_server(modules: Sequence[str]) -> None:
    """Have the fork server begin to import these modules; a first child waits for it less.

    Returns immediately. Does nothing where children are spawned.
    """
    if sys.platform != "linux":
        return
    preload(modules)
    with _one_at_a_time, _main_not_imported(), group_signals_blocked():
        guard.ensure_running()
        forkserver.ensure_running()
        _mark_fork_server()


def launch(
    start: bytes,
    name: str,
    connection: "Connection[Any, Any]",
    output: OutputEnd,
    timeout_s: float,
    is_given_up: Callable[[], bool],
) -> BaseProcess:
    """Start a child that runs what `start` says and return its process.

    Blocks, for seconds the first time.

    A fork server that takes longer than `timeout_s` is ended, and another one tried, once; the time
    that it takes to come up does not count. Raise OSError where the system will not start one more
    process, TimeoutError where both hang, ConnectionAbortedError once the start is given up.
    """
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=bootstrap.run,
        name=name,
        args=(start, connection, output),
        # A daemon may have no children; a model may.
        daemon=False,
    )
    hung = 0
    with _one_at_a_time, _main_not_imported(), group_signals_blocked(), _no_socket_left():
        guard.ensure_running()
        for attempt in range(_ATTEMPTS):
            if is_given_up():
                raise ConnectionAbortedError("the start was given up")
            limit = _Limit(timeout_s)
            try:
                with limit:
                    process.start()
            except (ConnectionError, EOFError) as error:
                # The fork server was killed between its last answer and this call, or hung and was
                # ended. A start makes a new one once the old one is reaped, which takes as long as
                # its threads do.
                hung += limit.is_over
                if hung == _HANGING_FORK_SERVERS:
                    raise TimeoutError(f"the fork server hangs for {limit.seconds:g} s") from error
                if attempt == _ATTEMPTS - 1 or is_given_up():
                    raise
                time.sleep(_PAUSE_S)
            else:
                break
        _mark_fork_server()
    # At exit multiprocessing would wait for it without a limit. Its end is seen to elsewhere.
    _children.discard(process)
    return process


def _mark_fork_server() -> None:
    """Have the guardian end it as well: one that hangs does not notice that we are gone."""
    pid = fork_server_pid()
    if pid is not None:
        guard.mark_helper(pid)


class _Limit:
    """Ends the fork server where a start by it takes too long: what waits for it then goes on."""

    up: ClassVar[int | None] = None
    """The fork server that has started a process before, and so has all imported."""

    def __init__(self, timeout_s: float) -> None:
        self.seconds = timeout_s
        self.is_over = False
        self._timer: threading.Timer

    def __enter__(self) -> None:
        self._wait(self.seconds)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if kind is None:
            type(self).up = fork_server_pid()

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        if self.seconds < _IMPORT_TIMEOUT_S and fork_server_pid() != self.up:
            # It still comes up.
            self._wait(_IMPORT_TIMEOUT_S - self.seconds)
            self.seconds = _IMPORT_TIMEOUT_S
            return
        self.is_over = True
        end_fork_server()


def end_fork_server() -> None:
    """Kill the fork server; a start that waits for it fails, or goes on by a new one."""
    pid = fork_server_pid()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def interrupt_first_start() -> None:
    """End a fork server that is still importing, and so the start that waits for it. Blocks.

    Only for a process that has no child yet: the fork server takes seconds to come up, and the end
    of the service would have to wait for it.
    """
    if sys.platform != "linux":
        return
    for _ in range(_ATTEMPTS):
        end_fork_server()
        if _one_at_a_time.acquire(timeout=_PAUSE_S):
            _one_at_a_time.release()
            return


@contextmanager
def _main_not_imported() -> Iterator[None]:
    """Keep children from importing the main module of this process (uvicorn's script, pytest).

    multiprocessing skips that import for a main module whose name ends in `__main__`, as that of
    `python -m service` does; a console script's would cost each child a tenth of a second.
    """
    main = sys.modules["__main__"]
    spec = main.__spec__
    main.__spec__ = importlib.machinery.ModuleSpec("service.__main__", None)
    try:
        yield
    finally:
        main.__spec__ = spec


@contextmanager
def _no_socket_left() -> Iterator[None]:
    """Remove the socket of a fork server that was killed, once another one has taken its place."""
    if sys.platform != "linux":
        yield
        return
    before = _fork_server_socket()
    yield
    if before is not None and before != _fork_server_socket():
        Path(before).unlink(missing_ok=True)


def fork_server_pid() -> int | None:
    """Return the process of the service's own fork server; None where there is none."""
    if sys.platform != "linux":
        return None
    pid: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - no public way
    return pid


def _fork_server_socket() -> str | None:
    address: str | None = getattr(forkserver._forkserver, "_forkserver_address", None)  # noqa: SLF001 - no public way
    return address


@contextmanager
def group_signals_blocked() -> Iterator[None]:
    """Start a process with the group's signals blocked, until it has set what they do there.

    Else a Ctrl-C during a fork server's imports ends it with a traceback. The mask is a thread's
    own and is inherited by what that thread starts; the resource tracker resets it for SIGINT and
    SIGTERM, so it is started in between: the others stay blocked for it.
    """
    if not windows.has_process_groups():
        yield
        return
    others = set(GROUP_SIGNALS) - {signal.SIGINT, signal.SIGTERM}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, others)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
