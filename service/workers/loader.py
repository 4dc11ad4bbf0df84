"""Start a worker of a version and have it load that: with its compiled predictors if there are."""

from collections.abc import Callable
from contextlib import nullcontext

import anyio

from service.core.environments import SHARED, Environment
from service.core.errors import ChildLostError, StoreCorruptError
from service.core.versions import StoredVersion
from service.workers.activation import Activation
from service.workers.factory import WorkerFactory
from service.workers.handle import OnCounts, WorkerHandle
from service.workers.messages import LoadReply, LoadRequest
from service.workers.pool_settings import PoolSettings
from service.workers.stored_files import StoredFiles
from service.workers.told_plugins import plugins_for


class WorkerLoader:
    """Loads the workers of one version, one as the other.

    `on_counts` gets how often engines did not answer in one of them since its last reply,
    `on_over_limit` why one was ended for what it took.
    """

    def __init__(
        self,
        stored: StoredVersion,
        files: StoredFiles,
        factory: WorkerFactory,
        settings: PoolSettings,
        activation: Activation,
        on_counts: OnCounts,
        on_over_limit: Callable[[str], None],
        environment: Environment = SHARED,
    ) -> None:
        self._stored = stored
        self._files = files
        self._factory = factory
        self._settings = settings
        self._activation = activation
        self._on_counts = on_counts
        self._on_over_limit = on_over_limit
        self._environment = environment
        self._started = 0
        self.loading = anyio.Event()
        """Set once the first worker has begun to load."""

    async def load(self) -> tuple[WorkerHandle, LoadReply]:
        """Return a worker that has loaded the version, and what it told of it.

        One that is lost over compiled predictors is followed by one that does without. Raise
        ChildRaisedError, ChildTimeoutError, ChildLostError, ChildStartError, StoreCorruptError,
        SignatureError.
        """
        is_shared = self._environment.is_shared
        standby = self._factory.standby
        with standby.loading(self._settings.process) if is_shared else nullcontext():
            compiled = self._activation.folder
            try:
                return await self._load_with(compiled)
            except StoreCorruptError:
                if not await self._files.restored():
                    raise
                return await self._load_with(compiled)
            except ChildLostError as error:
                if not compiled or error.killed_from_outside:
                    raise
                self._activation.drop(str(error))
            return await self._load_with("")

    async def _load_with(self, compiled: str) -> tuple[WorkerHandle, LoadReply]:
        version, settings = self._stored.version, self._settings
        self._started += 1
        folder = settings.process.new_folder()
        request = LoadRequest(
            path=str(self._stored.path),
            digest=self._stored.digest,
            name=version.name,
            refuse_unknown=settings.refuse_unknown,
            threads=settings.threads,
            compiled=compiled,
            answers=settings.answers,
            own_folder=str(folder),
            copied=self._files.copied,
            plugins=await plugins_for(version.name, self._environment),
        )
        child = await self._factory.start(
            f"worker-{version.version}-{self._started}",
            {"model": version.name, "version": version.version},
            settings.process,
            self._environment,
        )
        child.on_over_limit = self._on_over_limit
        self.loading.set()
        try:
            loaded = await child.call("load", request, LoadReply, timeout_s=settings.load_timeout_s)
            # A version that holds too much once it is loaded is refused, and not lost again and
            # again.
            await child.check_memory()
        except BaseException:
            # With it a ChildLostError is complete.
            await WorkerHandle(child, folder).end()
            raise
        if loaded.activated.reason:
            self._activation.drop(loaded.activated.reason)
            compiled = ""
        worker = WorkerHandle(
            child,
            folder,
            compiled,
            any_rows=settings.answers.any_rows,
            report=loaded.activated.report,
            on_counts=self._on_counts,
        )
        return worker, loaded
