"""The watcher over fakes; policy, gates, rollout, reconciler, routes and state are real."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import anyio
from anyio.abc import TaskGroup

from service.control.desired import DesiredState
from service.control.journal import MemoryJournal
from service.control.needs import PointerNeeds
from service.control.state import ControlState
from service.control.status import Status
from service.core.events import PromotionOutcome
from service.core.versions import ModelRef
from service.registry.finder import VersionFinder
from service.serving.routes import Routes
from service.telemetry.observer import NULL_OBSERVER, Observer
from service.watcher.building import BuildStep
from service.watcher.gates.chain import GateChain
from service.watcher.gates.contract import ContractGate
from service.watcher.gates.smoke import SmokeGate
from service.watcher.probation import ProbationSettings
from service.watcher.reconciler import Reconciler
from service.watcher.rollout import Rollout
from service.watcher.versions import LoadedVersions
from tests.support.fake_models import FakeRemembered, FakeStore, Fates, a_host
from tests.support.fake_source import FakeSource, a_version

DRAIN_S = 30.0
NO_PROBATION = ProbationSettings(duration_s=0, max_error_rate=0, keep_warm=False)
GATES = GateChain((), (ContractGate("refuse", refuse_unknown=False), SmokeGate(300)))


class FakeWatcher:
    """Everything that a promotion passes, on one clock."""

    def __init__(
        self,
        tasks: TaskGroup,
        *,
        uri: str = "models:/m@champion",
        on_unpromoted: Literal["keep", "unload"] = "keep",
        probation: ProbationSettings = NO_PROBATION,
        gates: GateChain = GATES,
        observer: Observer = NULL_OBSERVER,
        earlier: "FakeWatcher | None" = None,
        routes: Routes | None = None,
        build: BuildStep | None = None,
    ) -> None:
        self.fates = Fates()
        self.store = FakeStore(self.fates)
        self.host = a_host(self.fates)
        self.routes = routes or Routes()
        self.journal = MemoryJournal()
        self.desired = DesiredState()
        self.source = FakeSource(ModelRef.parse(uri))
        self.remembered: FakeRemembered = earlier.remembered if earlier else FakeRemembered()
        if earlier is not None:
            self.store.good = earlier.store.good
        self.tasks = tasks
        self.state = ControlState(
            self.remembered, PointerNeeds(self.store, uri), self.journal, observer
        )
        versions = LoadedVersions(
            store=self.store,
            host=self.host,
            routes=self.routes,
            tasks=tasks,
            drain_timeout_s=DRAIN_S,
            observer=observer,
        )
        wake = self.desired.wake
        self.rollout = Rollout(self.state, versions, gates, probation, wake, build)
        self.reconciler = Reconciler(
            source=self.source,
            finder=VersionFinder(
                ModelRef.parse(uri), a_version(1).model, self.source.ask, self.store
            ),
            desired=self.desired,
            state=self.state,
            rollout=self.rollout,
            on_unpromoted=on_unpromoted,
        )

    @property
    def status(self) -> Status:
        """How things stand, as it is reported."""
        return self.state.status()

    @property
    def serving(self) -> str | None:
        """The number of the version that the next request would get."""
        return self.routes.current.version.version if self.routes.current else None

    @property
    def outcomes(self) -> list[tuple[str, PromotionOutcome]]:
        """Every promotion's version and outcome, oldest first."""
        last = self.journal.last(200)
        return [(promotion.version.version, promotion.outcome) for promotion in reversed(last)]

    async def pause(self, seconds: float = 0.5) -> None:
        """Let virtual time pass."""
        await anyio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Wait for a state."""
        with anyio.fail_after(limit_s):
            while not condition():  # noqa: ASYNC110 - virtual time
                await anyio.sleep(0.01)


@asynccontextmanager
async def a_watcher(
    *,
    uri: str = "models:/m@champion",
    on_unpromoted: Literal["keep", "unload"] = "keep",
    probation: ProbationSettings = NO_PROBATION,
    gates: GateChain = GATES,
    observer: Observer = NULL_OBSERVER,
    earlier: FakeWatcher | None = None,
    build: BuildStep | None = None,
) -> AsyncIterator[FakeWatcher]:
    """Make a watcher, whose versions end with the block.

    It has the memory and the last known good version of an `earlier` one, as after a restart.
    """
    async with anyio.create_task_group() as tasks:
        yield FakeWatcher(
            tasks,
            uri=uri,
            on_unpromoted=on_unpromoted,
            probation=probation,
            gates=gates,
            observer=observer,
            earlier=earlier,
            build=build,
        )
        tasks.cancel_scope.cancel()
