"""The fork server of another environment: a process of its interpreter that has all imported.

A child of it stands in hundredths of a second, and shares its pages. The service's own environment
has another one, which multiprocessing starts: see `launch`.
"""

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import anyio
import anyio.to_thread
import msgspec
import structlog

from service.core.errors import ChildStartError, ServiceError
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.fork_messages import (
    FORK,
    TARGET,
    ForkReply,
    ForkRequest,
    ForkServerArguments,
)
from service.processes.forked import ForkedProcess
from service.processes.output import OutputEnd
from service.processes.temp import remove_folder

_IMPORT_TIMEOUT_S = 120.0
"""What a fork server may take to come up: it imports all that workers need."""
_GIVING_UP_S = 0.5
"""What a fork that is no longer wanted gets to end: usually it takes a hundredth of it."""
_TRIES = 2
_NOT_ITS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE")
"""Variables that would lead it to packages of another environment."""

_log = structlog.get_logger("child")


class ForkServer:
    """Forks the children of one environment; started when the first of them is wanted.

    One that has ended, or takes too long for a fork, is replaced at the next, and its children
    live on. To be ended by `end`.
    """

    def __init__(
        self,
        name: str,
        interpreter: Path,
        modules: Sequence[str],
        temp_dir: Path,
        threads: ChildThreads,
    ) -> None:
        self._name = name
        self._interpreter = interpreter
        self._modules = tuple(modules)
        self._folder = temp_dir / f"{name}-{uuid.uuid4().hex[:8]}"
        """Where what it imports may leave files, as onnxruntime does; it goes when this ends."""
        self._threads = threads
        self._one_at_a_time = anyio.Lock()
        self._child: Child | None = None
        self._requests: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Its process; None while there is none."""
        return self._child.pid if self._child is not None else None

    async def fork(
        self,
        connection: "Connection[Any, Any]",
        output: OutputEnd,
        mark: int,
        timeout_s: float,
    ) -> ForkedProcess:
        """Return a process that waits for what it is to run.

        The time that the fork server takes to come up does not count; where it takes longer than
        `timeout_s`, or is lost, another one is tried once. Raise ChildStartError, and
        EnvironmentRefusedError where the interpreter will not do.
        """
        async with self._one_at_a_time:
            for attempt in range(_TRIES):
                child, requests = await self._running()
                try:
                    with _Ends(connection, output) as ends:
                        pid = await self._forked(child, requests, ends, mark, timeout_s)
                        return ForkedProcess(pid, mark, *ends.take())
                except (ServiceError, OSError) as error:
                    _log.warning("fork server lost", child=self._name, reason=str(error))
                    await self._end()
                    if attempt == _TRIES - 1:
                        raise ChildStartError(f"{self._name} did not fork: {error}") from error
        raise AssertionError("a try either returns or raises")

    async def end(self) -> None:
        """End it. Its children are not ended: those that it has must be ended before."""
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                await self._end()

    async def _running(self) -> tuple[Child, socket.socket]:
        """Start the fork server where there is none that lives. Raise as `fork` does."""
        if self._child is not None and self._child.is_alive and self._requests is not None:
            return self._child, self._requests
        await self._end()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            try:
                make = partial(self._folder.mkdir, parents=True, exist_ok=True)
                await anyio.to_thread.run_sync(make)
                ours.setblocking(False)  # noqa: FBT003 - no name for it
                self._child = await start_child(self._spec(its), self._threads, _IMPORT_TIMEOUT_S)
            except BaseException:
                ours.close()
                await remove_folder(self._folder)
                raise
        self._requests = ours
        return self._child, ours

    def _spec(self, requests: socket.socket) -> ChildSpec:
        told = ForkServerArguments(requests.fileno(), self._modules)
        return ChildSpec(
            target=TARGET,
            name=self._name,
            arguments=msgspec.msgpack.encode(told),
            temp_dir=self._folder,
            interpreter=self._interpreter,
            first_variables=variables_of(self._interpreter),
            descriptors=(requests.fileno(),),
        )

    async def _forked(
        self, child: Child, requests: socket.socket, ends: "_Ends", mark: int, timeout_s: float
    ) -> int:
        """Have it fork, to the end where it takes a moment more than this is wanted for."""
        failures: list[Exception] = []
        forked: list[int] = []
        over = anyio.Event()

        async def ask() -> None:
            try:
                with anyio.CancelScope(shield=True):
                    socket.send_fds(requests, [b"\0"], ends.its)
                    request = ForkRequest(mark)
                    reply = await child.call(FORK, request, ForkReply, timeout_s=timeout_s)
                    forked.append(reply.pid)
            except Exception as error:  # noqa: BLE001 - raised below, not through a group
                failures.append(error)
            finally:
                over.set()

        async with anyio.create_task_group() as asking:
            asking.start_soon(ask)
            try:
                await over.wait()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    with anyio.move_on_after(_GIVING_UP_S):
                        await over.wait()
                    if not over.is_set():
                        # Its call fails with it, and the next fork has another one.
                        child.kill()
                raise
        if failures:
            raise failures[0]
        return forked[0]

    async def _end(self) -> None:
        child, self._child = self._child, None
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if child is not None:
            await child.end()
            await remove_folder(self._folder)


class _Ends:
    """The descriptors of one child: `its`, to be sent, and ours, which are closed unless taken."""

    def __init__(self, connection: "Connection[Any, Any]", output: OutputEnd) -> None:
        self.its: list[int] = [connection.fileno(), output.fileno()]
        self._ours: list[int] = []

    def __enter__(self) -> Self:
        its_alive, alive = os.pipe()
        status, its_status = os.pipe()
        self.its += (its_alive, its_status)
        self._ours = [alive, status]
        return self

    def take(self) -> tuple[int, int]:
        """Return what ties the child to this process, and where its status is told."""
        alive, status = self._ours
        self._ours = []
        return alive, status

    def __exit__(self, *_: object) -> None:
        for descriptor in (*self.its[2:], *self._ours):
            os.close(descriptor)


def variables_of(
    interpreter: Path, environ: Mapping[str, str] = MappingProxyType(os.environ)
) -> dict[str, str]:
    """Return this process's variables as a program of another environment is to have them."""
    variables = {name: value for name, value in environ.items() if name not in _NOT_ITS_OWN}
    programs = interpreter.parent
    variables["VIRTUAL_ENV"] = str(programs.parent)
    variables["PATH"] = os.pathsep.join(filter(None, (str(programs), environ.get("PATH", ""))))
    return variables
