"""The child that reads environments' files, as the server process asks it: one for each build."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildStartError,
    ChildTimeoutError,
    EnvironmentNotBuiltError,
    EnvironmentRefusedError,
)
from service.environments.messages import (
    CHECK,
    FILES_TARGET,
    READ,
    RECORD,
    Checked,
    CheckRequest,
    Needs,
    ReadRequest,
    Recorded,
    RecordRequest,
)
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.protocol import by_message

T = TypeVar("T")

_READ_S = 60.0
_HASH_S = 900.0
"""An environment of some gigabytes is read in seconds; a slow disk may take minutes."""


class EnvironmentFiles:
    """A child, while it is open. Every call raises EnvironmentNotBuiltError where it fails."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def read(self, request: ReadRequest) -> Needs:
        """Return what a version is to have installed."""
        return await self._ask(READ, request, Needs, _READ_S)

    async def record(self, folder: Path, manifest: Path) -> Recorded:
        """Write down every file below a folder."""
        return await self._ask(RECORD, RecordRequest(str(folder), str(manifest)), Recorded, _HASH_S)

    async def difference(self, folder: Path, manifest: Path, digest: str, *, fully: bool) -> str:
        """Return how a folder differs from its manifest, '' where it does not."""
        request = CheckRequest(str(folder), str(manifest), digest, fully)
        return (await self._ask(CHECK, request, Checked, _HASH_S)).difference

    async def _ask(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        try:
            return await self._child.call(op, request, reply, timeout_s=timeout_s)
        except (ChildTimeoutError, ChildLostError, ChildRaisedError) as error:
            raise EnvironmentNotBuiltError(
                f"the process that reads environments' files failed: {error}"
            ) from error


class FilesProcesses:
    """Such children: each is asked by one build at a time, and one stays for the next.

    A version whose environment is there waits for no process to start.
    """

    def __init__(self, temp_dir: Path, threads: ChildThreads, start_timeout_s: float) -> None:
        self._spec = ChildSpec(
            FILES_TARGET,
            "environment-files",
            b"",
            temp_dir,
            errors=by_message(EnvironmentNotBuiltError, EnvironmentRefusedError),
        )
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._idle: Child | None = None
        self._closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[EnvironmentFiles]:
        """Have a child to ask. Raise EnvironmentNotBuiltError where none can be started."""
        child, self._idle = self._idle, None
        if child is not None and not child.is_alive:
            await child.end()
            child = None
        if child is None:
            child = await self._started()
        try:
            yield EnvironmentFiles(child)
        finally:
            # One whose call was cancelled was killed.
            if child.is_alive and self._idle is None and not self._closed:
                self._idle = child
            else:
                await child.end()

    async def close(self) -> None:
        """End the one that nobody asks, and each other one once it is not asked any more."""
        self._closed = True
        child, self._idle = self._idle, None
        if child is not None:
            await child.end()

    async def _started(self) -> Child:
        try:
            return await start_child(self._spec, self._threads, self._start_timeout_s)
        except ChildStartError as error:
            raise EnvironmentNotBuiltError(str(error)) from error
