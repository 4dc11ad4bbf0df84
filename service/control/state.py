"""The control state of a deployment: what is wanted, and what became of it."""

import time
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog

from service.control.environment_wait import EnvironmentWaits
from service.control.journal import Journal
from service.control.lifecycle import Lifecycle, Lifecycles
from service.control.needs import PointerNeeds
from service.control.pointer_memory import PointerMemory
from service.control.promotion_recorder import PromotionRecorder
from service.control.quarantine import Quarantine
from service.control.retries import Retries
from service.control.snapshot import Snapshot
from service.control.status import RegistryLook, Status
from service.core.environments import BuildProgress
from service.core.errors import RefusedError, ServiceError
from service.core.events import Promotion, Trigger
from service.core.text import presentable
from service.core.versions import ModelVersion
from service.telemetry.observer import NULL_OBSERVER, Observer


class ControlState:
    """The control state of one deployment. The tasks of its watcher change it, and nothing else.

    All others read a `status`. Pins and refusals are written down from here alone, and so is what
    the pointer needs in the store.
    """

    def __init__(
        self,
        memory: PointerMemory,
        needs: PointerNeeds,
        journal: Journal,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self.needs = needs
        self._memory = memory
        self._journal = journal
        self._observer = observer
        self._registry = RegistryLook()
        self._pin: ModelVersion | None = None
        self._has_recalled = False
        self._refused = Quarantine()
        self._retries = Retries()
        self._loading: ModelVersion | None = None
        self._has_loaded = False
        """Whether any version was ever begun to be loaded."""
        self._lifecycles = Lifecycles(observer)
        self._waits = EnvironmentWaits()
        self._passes_failed = 0
        self._log = structlog.get_logger("watcher")

    # -- how things stand ------------------------------------------------------------------------

    def status(self) -> Status:
        """Return how things stand, for people and programs that ask."""
        return Status(
            registry=self._registry,
            pin=self._pin,
            held=self._memory.held,
            refused=self._refused.reasons(),
            versions=self._lifecycles.statuses(),
            troubles=tuple(filter(None, (self._memory.trouble, *self.needs.troubles))),
            passes_failed=self._passes_failed,
            waiting=self._waits.of(self._loading) or self._waits.of(self.wanted),
        )

    def snapshot(
        self, serving: ModelVersion | None, on_unpromoted: Literal["keep", "unload"]
    ) -> Snapshot:
        """Return how things stand, for the decision on what to do next."""
        return Snapshot(
            known=self._registry.is_known or self._pin is not None,
            wanted=self.wanted,
            serving=serving,
            loading=self._loading,
            refused=self._refused.versions,
            backing_off=self._retries.backing_off,
            on_unpromoted=on_unpromoted,
            fallback=self.needs.good,
            unreachable=bool(self._registry.error),
            held=bool(self.held),
        )

    @property
    def registry(self) -> RegistryLook:
        """The last look at the registry."""
        return self._registry

    @property
    def pin(self) -> ModelVersion | None:
        """The version that serves whatever the registry says, if one is pinned."""
        return self._pin

    @property
    def held(self) -> str:
        """Why it is unknown whether a version is pinned, and what to do; '' where it is known."""
        return self._memory.held

    @property
    def wanted(self) -> ModelVersion | None:
        """The version that is to serve: the pin, or else what the registry promotes."""
        return self._pin or self._registry.promoted

    @property
    def retry_in_s(self) -> float:
        """Seconds until something that failed is to be tried again; infinite where nothing did."""
        return self._retries.next_in_s

    @property
    def passes_failed(self) -> int:
        """How many passes in a row the watcher could not finish."""
        return self._passes_failed

    def refusal(self, version: ModelVersion) -> RefusedError | None:
        """Return why a version was refused, None where it was not."""
        return self._refused.reason(version)

    def why_not(self, version: ModelVersion) -> ServiceError | None:
        """Return why a version was refused or has failed for now, None where it may yet serve."""
        return self._refused.reason(version) or self._retries.error(version)

    # -- what is written down --------------------------------------------------------------------

    async def recall(self) -> None:
        """Take up what an earlier process left: its pin, its refusals, its last known good version.

        And a pin that another service on the same CACHE_DIR has set since, for the same pointer.
        """
        memory = await self._memory.recall()
        if memory is not None:
            first, self._has_recalled = not self._has_recalled, True
            if first:
                self._refused.restore(memory.refusals)
            if memory.pin != self._pin:
                self._pin = memory.pin
                what = "a pin is in force" if first else "pin changed"
                self._log.warning(what, pinned=_number(memory.pin))
        await self.needs.find_good()

    async def save(self) -> None:
        """Write down refusals where they have changed, and that the pointer is followed."""
        if self._refused.changed:
            refusals, lifted = self._refused.refusals(), self._refused.lifted()
            await self._memory.remember_refusals(refusals, lifted)
        await self.needs.tidy_up()

    # -- what is wanted --------------------------------------------------------------------------

    async def looked(self, promoted: ModelVersion | None) -> bool:
        """Note a good look at the registry, and what it found; return whether that is news."""
        before = self._registry
        if before.error:
            self._log.info("registry seen again")
        self._registry = RegistryLook(promoted, "", datetime.now(UTC), time.monotonic())
        if before.is_known and promoted == before.promoted:
            return False
        # A refusal lasts until the pointer moves, and so does a backoff.
        self._refused.keep_only(promoted)
        self._retries.clear()
        await self.needs.note_promoted(promoted)
        return True

    def look_failed(self, error: str) -> None:
        """Note that the registry could not be asked."""
        error = presentable(error)
        if error != self._registry.error:
            self._log.warning("registry unavailable", reason=error)
        self._registry = msgspec.structs.replace(self._registry, error=error)

    async def set_pin(self, version: ModelVersion | None, pointer: str) -> None:
        """Pin a version, or follow the registry's pointer again, and write that down."""
        if version != self._pin or self.held:
            self._pin = version
            await self._memory.remember_pin(version)
            self._log.warning("pin changed", pinned=_number(version), pointer=pointer)

    def allow(self, version: ModelVersion) -> None:
        """Have a version tried that was refused or has failed: somebody asks for it."""
        self._refused.lift(version)
        self._retries.forget(version)

    # -- what became of it -----------------------------------------------------------------------

    def begin_loading(self, version: ModelVersion, trigger: Trigger) -> Trigger:
        """Note the candidate that is under way from now on; return by what it was noticed."""
        if not self._has_loaded:
            trigger = Trigger.START
        if version != self.wanted:
            trigger = Trigger.FALLBACK
        self._loading, self._has_loaded = version, True
        return trigger

    def end_loading(self) -> None:
        """Note that no candidate is under way any more."""
        self._waits.stopped(self._loading)
        self._loading = None

    def environment_progressed(self, version: ModelVersion, progress: BuildProgress) -> None:
        """Note how far the build of a version's environment is."""
        self._waits.progressed(version, progress)
        self._observer.environment_progressed(version, progress)

    def environment_ended(self, version: ModelVersion) -> None:
        """Note that a version waits for no environment any more."""
        self._waits.ended(version)

    def begin(self, version: ModelVersion) -> Lifecycle:
        """Begin a version's lifecycle, in state NEW."""
        return self._lifecycles.begin(version)

    def begin_promotion(self, version: ModelVersion, trigger: Trigger) -> PromotionRecorder:
        """Begin to write a promotion into the journal."""
        promotion = Promotion(version, trigger, datetime.now(UTC))
        return PromotionRecorder(promotion, self._journal, self._observer)

    def serves(self, version: ModelVersion) -> None:
        """Note that a version has come to serve: what failed before does not count any more."""
        self._retries.forget(version)

    def refuse(self, version: ModelVersion, error: RefusedError) -> None:
        """Have a version not tried again until the pointer moves or somebody asks."""
        self._refused.refuse(version, error)

    def failed(self, version: ModelVersion, error: ServiceError) -> None:
        """Have a version tried again later, which failed for a reason that passes."""
        failure = self._retries.note(version, error)
        self._waits.failed(version, error)
        self._log.warning(
            "promotion will be tried again",
            version=version.version,
            reason=str(error),
            attempts=failure.attempts,
            retry_in_s=round(failure.retry_in_s, 1),
        )

    def pass_failed(self) -> None:
        """Note that the watcher could not finish a pass."""
        self._passes_failed += 1

    def pass_ended(self) -> None:
        """Note that the watcher has finished a pass."""
        self._passes_failed = 0


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else version.version
