"""The loaded versions of a deployment: the one that serves, and those that come or go."""

from collections.abc import Awaitable, Callable

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from service.control.lifecycle import Lifecycle
from service.core.states import State
from service.core.versions import ModelVersion
from service.serving.model import LoadedModel, ModelHost
from service.serving.routes import Routes
from service.store.version_store import HeldVersion, VersionStore
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.telemetry.tracing.request_trace import leave_trace
from service.watcher.prepared import Prepared


class LoadedVersions:
    """Opens versions, swaps them and closes them. They live in the task group `tasks`.

    The files and the environment of each are held meanwhile, so that no service removes them.
    """

    def __init__(
        self,
        *,
        store: VersionStore,
        host: ModelHost,
        routes: Routes,
        tasks: TaskGroup,
        drain_timeout_s: float,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self._store = store
        self._host = host
        self._routes = routes
        self._tasks = tasks
        self._drain_timeout_s = drain_timeout_s
        self._observer = observer
        self._lifecycles: dict[LoadedModel, Lifecycle] = {}
        """Of those that have served and are not retired."""
        self._log = structlog.get_logger("rollout")

    @property
    def current(self) -> LoadedModel | None:
        """The version that the next request will get."""
        return self._routes.current

    @property
    def serving(self) -> ModelVersion | None:
        """What answers requests: a version that collapsed does not, even if it is routed to."""
        current = self._routes.current
        return None if current is None or current.closed.is_set() else current.version

    def warm(self, version: ModelVersion) -> LoadedModel | None:
        """Return a version that is still loaded behind the one that serves, if it can answer."""
        for model in self._lifecycles:
            if model.version == version and model is not self.current and model.can_answer:
                return model
        return None

    def start_aside(self, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start something beside what serves; what it raises must not end that."""

        async def run() -> None:
            try:
                await work(*arguments)
            except Exception:  # noqa: BLE001 - a crash barrier: all versions live in this group
                self._log.exception("work beside what serves broke off")

        self._tasks.start_soon(run)

    async def fetch(self, version: ModelVersion) -> HeldVersion:
        """Return a version's files, held in the store. Raise ServiceError or OSError."""
        return await self._store.ensure_in_use(version)

    async def open(self, prepared: Prepared) -> LoadedModel:
        """Return a version, loaded, which lets go of all that it needs once it is closed."""
        opened: LoadedModel = await self._tasks.start(self._host_prepared, prepared)
        opened.built = prepared.built
        return opened

    async def _host_prepared(
        self, prepared: Prepared, *, task_status: TaskStatus[LoadedModel]
    ) -> None:
        # It lives on for long after the promotion that this task was started for.
        leave_trace()
        try:
            await self._host.run(prepared.stored, prepared.environment, task_status=task_status)
        finally:
            await prepared.release()

    async def give_up(self, prepared: Prepared | None, candidate: LoadedModel | None) -> None:
        """Close what never served, or let go of what it needs where it was not loaded."""
        if candidate is not None:
            await _close(candidate)
        elif prepared is not None:
            await prepared.release()

    def swap(self, model: LoadedModel, lifecycle: Lifecycle | None = None) -> LoadedModel | None:
        """Have a version serve, and return the one before.

        One step of the event loop. `lifecycle` is that of a version which has not served yet.
        """
        if lifecycle is not None:
            lifecycle.transition(State.READY)
            self._lifecycles[model] = lifecycle
        return self._swap(model)

    def unload(self) -> LoadedModel | None:
        """Have nothing serve any more, and return what did."""
        return self._swap(None)

    def _swap(self, model: LoadedModel | None) -> LoadedModel | None:
        previous = self._routes.swap(model)
        if model is not None:
            model.compiling.allow_all()
        self._observer.serving_changed(
            model.version if model else None, previous.version if previous else None
        )
        return previous

    async def retire(self, model: LoadedModel, reason: str = "") -> bool:
        """Wait until the last request has left a version, within DRAIN_TIMEOUT_S, and close it.

        Do nothing, and return False, for a version that serves again or is being retired already.
        """
        if model is self.current or model not in self._lifecycles:
            return False
        lifecycle = self._lifecycles.pop(model)
        lifecycle.transition(State.DRAINING, reason)
        with anyio.move_on_after(self._drain_timeout_s) as scope:
            await model.drained()
        if scope.cancelled_caught:
            self._log.warning("drain timed out", version=model.version.version, left=model.leases)
        await _close(model)
        lifecycle.transition(State.UNLOADED, reason)
        return True


async def _close(model: LoadedModel) -> None:
    with anyio.CancelScope(shield=True):
        model.close()
        await model.closed.wait()
