"""Start the process of a child, in whichever of the three ways its spec says."""

import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from service import windows
from service.core.child_needs import CHILD_PROTOCOL
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.command import launch_command
from service.processes.launch import end_fork_server, launch
from service.processes.output import OutputEnd
from service.processes.protocol import Start
from service.processes.start_thread import run_start
from service.processes.started import Process

Ends = tuple["Connection[Any, Any]", OutputEnd]
"""The child's ends of its pipe and its output."""


async def start_process(
    spec: ChildSpec,
    mark: int,
    timeout_s: float,
    threads: ChildThreads,
    ends: Ends,
    take: Callable[[Process], None],
) -> None:
    """Start it and hand it over to `take`, in another thread where that takes one.

    What was started is handed over even if this is cancelled, or ends by itself soon. Raise
    ServiceError, OSError or EOFError.
    """
    if spec.forked_by is not None:
        # Beside other starts: another environment's fork server may hang, or import for seconds.
        take(await spec.forked_by.fork(*ends, mark, timeout_s))
        return

    def start(given_up: threading.Event) -> None:
        def is_given_up() -> bool:
            return given_up.is_set() or threads.given_up.is_set()

        take(_launched(spec, mark, timeout_s, threads, ends, is_given_up))

    # What is started by command line waits for no fork server.
    interrupt = end_fork_server if spec.interpreter is None else _nothing
    async with threads.starting:
        await run_start(start, f"{spec.name}-start", interrupt)


def _nothing() -> None:
    """Interrupt nothing."""


def _launched(
    spec: ChildSpec,
    mark: int,
    timeout_s: float,
    threads: ChildThreads,
    ends: Ends,
    is_given_up: Callable[[], bool],
) -> Process:
    """Start it by command line or by the service's own fork server. Blocks."""
    windows.hold_children()
    if spec.interpreter is not None:
        return launch_command(
            *(spec.interpreter, *ends, mark, is_given_up),
            variables=spec.first_variables,
            descriptors=spec.descriptors,
        )
    process = launch(encoded_start(spec, mark), spec.name, *ends, timeout_s, is_given_up)
    threads.has_started_one = True
    return process


def encoded_start(spec: ChildSpec, mark: int) -> bytes:
    """Return the message by which the child learns what it is to run."""
    variables = {**spec.variables, "TMPDIR": str(spec.temp_dir)}
    return msgspec.msgpack.encode(
        Start(
            *(CHILD_PROTOCOL, spec.target, spec.arguments, variables, spec.busy_poll_s, mark),
            spec.limits,
        )
    )
