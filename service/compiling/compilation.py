"""Have a version compiled in a process of its own, and its files kept for the next start."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from service.compiling.files import CompiledFiles
from service.compiling.messages import CompileReply, CompileRequest
from service.core.described import Described
from service.core.environments import SHARED, Environment
from service.core.errors import ServiceError
from service.core.versions import StoredVersion
from service.predictors.flavours import may_be_unwrapped
from service.predictors.report import Report
from service.processes.child import Child, start_child
from service.processes.child_spec import ChildSpec
from service.processes.progress import end_if_it_stands_still
from service.processes.temp import remove_folder
from service.workers.errors import WORKER_ERRORS
from service.workers.factory import WorkerFactory
from service.workers.messages import LoadRequest
from service.workers.pool_settings import PoolSettings
from service.workers.told_plugins import plugins_for

T = TypeVar("T")

_TIMEOUT_S = 3600.0
"""A compilation ends after so long: on a busy machine it gets little CPU time, and none waits."""


class CompilationError(ServiceError):
    """A version that could not be compiled, for which it goes on as it was."""

    code = "not-compiled"


class Compiled(msgspec.Struct, frozen=True):
    """What a compiler made: the folder with the files, and its report."""

    folder: str
    report: Report


class CompileTurns:
    """Has all compilers of a service take turns: two that measure together measure each other.

    A first step does not wait for another version's rest, which may take minutes.
    """

    def __init__(self) -> None:
        self.first = anyio.Lock()
        self.rest = anyio.Lock()
        self.limiter = CapacityLimiter(2)


class Compiler:
    """Compiles the versions of one deployment, as its workers will call them."""

    def __init__(
        self,
        files: CompiledFiles,
        pool: PoolSettings,
        factory: WorkerFactory,
        describe: Callable[[StoredVersion], Awaitable[Described]],
        turns: CompileTurns,
    ) -> None:
        self._files = files
        self._describe = describe
        self._pool = pool
        self._factory = factory
        self._turns = turns

    async def kept(self, stored: StoredVersion, environment: Environment = SHARED) -> str:
        """Return the folder of a version that was compiled before in this environment, or ''.

        The first that was ready, where the rest never was.
        """

        def find() -> str:
            places = (self._place(stored, environment, first=first) for first in (False, True))
            return next((str(place) for place in places if place.is_dir()), "")

        return await self._run(find)

    async def may_succeed(self, stored: StoredVersion) -> bool:
        """Tell whether a version is of a kind that may be called by another engine than MLflow's.

        Raise ServiceError where its files can't be read.
        """
        return may_be_unwrapped(await self._describe(stored))

    @asynccontextmanager
    async def compiled(
        self, stored: StoredVersion, environment: Environment = SHARED, *, first: bool = False
    ) -> AsyncIterator[Compiled]:
        """Compile a version and keep the files; then there is time to use them.

        `environment` is what it runs in, and `first` is for the engines that are ready within a
        second or so. Raise ServiceError where it fails. What compiled ends last, which takes
        longer than to use what it made. Cancelling ends it, too, and leaves nothing behind.
        """
        one = self._turns.first if first else self._turns.rest
        own = self._pool.process.new_folder()
        find_place = partial(self._place, stored, environment, first=first)
        plugins = await plugins_for(stored.version.name, environment)
        load = LoadRequest(
            path=str(stored.path),
            digest=stored.digest,
            name=stored.version.name,
            refuse_unknown=self._pool.refuse_unknown,
            threads=self._pool.threads,
            own_folder=str(own),
            plugins=plugins,
        )
        request = CompileRequest(load, str(self._files.new()), self._files.rtol, first)
        async with one, self._child(stored, environment, own) as child:
            yield await self._kept(child, request, find_place)

    async def _kept(
        self, child: Child, request: CompileRequest, find_place: Callable[[], Path]
    ) -> Compiled:
        filled = Path(request.folder)
        try:
            report = await self._filled(child, request)
            place = await self._run(find_place)
            await self._run(self._files.keep, filled, place)
        except BaseException as error:
            # One that was killed may still be writing there.
            await child.end()
            if isinstance(error, OSError):
                raise CompilationError(f"the disk does not let it be kept: {error}") from error
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._run(self._files.drop, filled)
        return Compiled(str(place), report)

    @asynccontextmanager
    async def _child(
        self, stored: StoredVersion, environment: Environment, own: Path
    ) -> AsyncIterator[Child]:
        """Start a compiler, whose model gets its files in a folder of its own."""
        version, settings = stored.version, self._pool.process
        spec = ChildSpec(
            target="service.compiling.inside.compiler:operations",
            name=f"compiler-{version.version}",
            arguments=b"",
            temp_dir=settings.temp_dir,
            variables=settings.variables,
            log_fields={"model": version.name, "version": version.version},
            errors=WORKER_ERRORS,
            forked_by=self._factory.fork_servers.of(environment),
            limits=settings.limits,
        )
        child = await start_child(spec, self._factory.threads, settings.start_timeout_s)
        try:
            yield child
        finally:
            try:
                await child.end()
            finally:
                await remove_folder(own)

    async def _filled(self, child: Child, request: CompileRequest) -> Report:
        settings = self._pool
        failure: ServiceError | None = None
        async with anyio.create_task_group() as watch:
            watch.start_soon(end_if_it_stands_still, child, settings.process.start_timeout_s)
            try:
                reply = await child.call("compile", request, CompileReply, timeout_s=_TIMEOUT_S)
            except ServiceError as error:
                # Not raised through the group, which would wrap it.
                failure = error
            watch.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return reply.report

    def _place(self, stored: StoredVersion, environment: Environment, *, first: bool) -> Path:
        return self._files.place(stored, self._pool.threads, environment, first=first)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await anyio.to_thread.run_sync(
            partial(function, *arguments), limiter=self._turns.limiter
        )
