"""The deployments of a service by name: what HTTP, another host and the tests receive."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import structlog
from anyio.abc import TaskGroup

from service.core.errors import NoDefaultModelError, NoVersionError, UnknownModelError
from service.credentials import Credentials
from service.deployment import Deployment
from service.gauges import gauges_of
from service.keeper import Keeper
from service.models_file import ModelsFile
from service.platform import Observe, Platform, no_more_observers, open_platform
from service.processes.temp import TempFolder
from service.settings.deployment import DeploymentSettings
from service.settings.settings import Settings
from service.telemetry.exports import Exports
from service.telemetry.logging import lost_lines
from service.telemetry.metrics.gauges import ModelGauges
from service.telemetry.metrics.loop_lag import watch_lag
from service.telemetry.metrics.metrics import Metrics
from service.telemetry.observer import Observer

_SUCCESSION_LOOK_S = 0.1
"""Seconds between two looks whether a deployment with new settings can answer."""
_NOT_RUNNING = "the service does not run yet, or no more"


class Deployments(Mapping[str, Deployment]):
    """The deployments by name. `running` follows all of their pointers meanwhile.

    `credentials` returns what was taken out of the environment, which model code does not get,
    `observe` what is told of a deployment besides the log and the metrics.
    Deployments are added, changed and removed by `apply` while the others serve.
    """

    def __init__(
        self,
        settings: Settings,
        temp: TempFolder | None = None,
        credentials: Callable[[], Credentials] = Credentials,
        observe: Observe = no_more_observers,
        exports: Exports | None = None,
    ) -> None:
        self.settings = settings
        if settings.left_out:
            structlog.get_logger("settings").warning(
                "variables that mean nothing here", left_out=settings.left_out
            )
        self.draining = False
        """Whether the service is about to end, and wants no new callers."""
        file = settings.service.models_file
        self._file = ModelsFile(Path(file)) if file else None
        self._temp = temp
        self._credentials = credentials
        self._observe = observe
        self.exports = exports
        """Where traces and metrics go beside `/metrics`; None for nowhere."""
        detailed = bool(settings.service.metrics_compat)
        self.metrics = Metrics(self._look, lost_lines=lost_lines, detailed=detailed)
        """What was counted of all of them, of those before them too."""
        self._keepers: dict[str, Keeper] = {}
        self._leaving: set[Keeper] = set()
        self._platform: Platform | None = None
        self._tasks: TaskGroup | None = None
        self._one_change = anyio.Lock()

    def __getitem__(self, name: str) -> Deployment:
        return self._keepers[name].deployment

    def __iter__(self) -> Iterator[str]:
        return iter(self._keepers)

    def __len__(self) -> int:
        return len(self._keepers)

    def find(self, name: str) -> Deployment | None:
        """Return the deployment of this name, None where there is none; '' is the default one's.

        For the way of each request: it raises nothing.
        """
        keeper = self._keepers.get(name or self.settings.default)
        return None if keeper is None else keeper.deployment

    def latest(self, deployment: Deployment) -> Deployment:
        """Return what has taken a deployment's place, which may be gone while a body is read."""
        return self.find(deployment.name) or deployment

    def named(self, name: str) -> Deployment:
        """Return the deployment of this name. Raise UnknownModelError."""
        keeper = self._keepers.get(name)
        if keeper is not None:
            return keeper.deployment
        if name in self.settings.deployments:
            raise NoVersionError(_NOT_RUNNING)
        raise UnknownModelError(name, list(self._keepers))

    @property
    def default(self) -> Deployment:
        """The deployment that answers where no name is given. Raise NoDefaultModelError."""
        if not self.settings.default:
            raise NoDefaultModelError(list(self._keepers))
        return self.named(self.settings.default)

    @property
    def trouble(self) -> str:
        """Why what MODELS_FILE says now is not in force; '' where it is."""
        return self._file.trouble if self._file is not None else ""

    def read_again(self) -> None:
        """Have MODELS_FILE read again within a second, if there is one. For signal handlers."""
        if self._file is not None:
            self._file.ask()

    def begin_draining(self) -> None:
        """Note that the service is about to end."""
        self.draining = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow every pointer meanwhile; then let accepted requests finish, and end all of it."""
        service = self.settings.service
        exporting = self.exports.running(self.metrics) if self.exports else nullcontext()
        async with (
            exporting,
            open_platform(
                service, self._temp, self._credentials(), self._observers
            ) as self._platform,
            anyio.create_task_group() as self._tasks,
        ):
            self._tasks.start_soon(watch_lag, self.metrics.loop_lag)
            self._platform.cpus.share_among(self.settings.workers)
            self._tasks.start_soon(self._platform.workers.standby.keep)
            async with anyio.create_task_group() as starts:
                for name, settings in self.settings.deployments.items():
                    keeper = self._keepers[name] = self._keeper(name, settings, self._platform)
                    starts.start_soon(self._tasks.start, keeper.run)
            if self._file is not None:
                self._tasks.start_soon(self._file.follow, lambda: self.settings, self.apply)
            yield
            await anyio.to_thread.run_sync(self._platform.threads.give_up_first_start)
            for keeper in self._keepers.values():
                self._end(keeper)
            for keeper in list(self._leaving):
                await keeper.ended.wait()
            self._tasks.cancel_scope.cancel()

    def _observers(self, name: str) -> Sequence[Observer]:
        """Return what is told of a deployment besides the log."""
        # What traces first: lines that are logged of a promotion name its trace.
        traces = self.exports.observers(name) if self.exports is not None else ()
        return [*traces, self.metrics.observer(name), *self._observe(name)]

    def _look(self) -> list[ModelGauges]:
        """Look at each deployment; what only a successor has of a model counts as live, too."""
        looks = []
        for keeper in self._keepers.values():
            look = gauges_of(keeper.deployment)
            if keeper.successor is not None:
                live = look.live | gauges_of(keeper.successor.deployment).live
                look = msgspec.structs.replace(look, live=live)
            looks.append(look)
        return looks

    async def apply(self, settings: Settings) -> None:
        """Have the deployments of these settings, of which some may be new, changed or gone.

        A changed one is opened anew beside the one before, which answers until the new one can:
        no request fails. Raise NoVersionError unless this runs.
        """
        if self._tasks is None or self._platform is None:
            raise NoVersionError(_NOT_RUNNING)
        async with self._one_change:
            self.settings = settings
            self._platform.cpus.share_among(settings.workers)
            for name in [name for name in self._keepers if name not in settings.deployments]:
                self._end(self._keepers.pop(name))
            for name, wanted in settings.deployments.items():
                keeper = self._keepers.get(name)
                if keeper is None:
                    self._keepers[name] = keeper = self._keeper(name, wanted, self._platform)
                    self._tasks.start_soon(keeper.run)
                else:
                    self._change(keeper, wanted, self._platform, self._tasks)
            # In the order in which they are described.
            self._keepers = {name: self._keepers[name] for name in settings.deployments}

    @staticmethod
    def _keeper(name: str, settings: DeploymentSettings, platform: Platform) -> Keeper:
        return Keeper(settings, partial(Deployment, name, settings, platform))

    def _change(
        self, keeper: Keeper, wanted: DeploymentSettings, platform: Platform, tasks: TaskGroup
    ) -> None:
        """Have a deployment with other settings take a keeper's place, where they are others."""
        pending = keeper.successor
        if wanted == (pending or keeper).settings:
            return
        if pending is not None:
            self._end(pending)
        keeper.successor, keeper.deployment.change = None, ""
        if wanted != keeper.settings:
            keeper.successor = self._keeper(keeper.deployment.name, wanted, platform)
            tasks.start_soon(keeper.successor.run)
            tasks.start_soon(self._succeed, keeper, keeper.successor)

    async def _succeed(self, keeper: Keeper, successor: Keeper) -> None:
        """Put a successor in place once it can answer, or if what it follows can't either."""
        name = keeper.deployment.name
        # Another change may have come first, or the name may be gone.
        while keeper.successor is successor and self._keepers.get(name) is keeper:
            if successor.deployment.can_answer or not keeper.deployment.can_answer:
                # One assignment: a request has either the one or the other for all of its life.
                self._keepers[name] = successor
                keeper.successor = None
                self._end(keeper)
                return
            keeper.deployment.change = (
                "its new settings are in force once a version can answer by them: "
                f"{successor.deployment.why_not}"
            )
            await anyio.sleep(_SUCCESSION_LOOK_S)

    def _end(self, keeper: Keeper) -> None:
        """Have a keeper end, and its successor; `running` waits for both."""
        for one in (keeper, keeper.successor):
            if one is not None:
                one.leave()
                self._leaving = {left for left in self._leaving if not left.ended.is_set()} | {one}
