"""One pass: look at the registry, decide, act, and tell those who wait what came of it."""

import math
import random
from typing import Literal

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from service.control.desired import ChangeRequest, DesiredState, Pin, Unpin
from service.control.monitor import StateMonitor
from service.control.quarantine import Quarantine
from service.core.errors import (
    FetchFailedError,
    NothingPromotedError,
    PinUnknownError,
    RefusedError,
    ServiceError,
    SourceUnavailableError,
    SupersededError,
)
from service.core.events import Trigger
from service.core.versions import ModelVersion
from service.registry.finder import VersionFinder
from service.registry.sources import Source
from service.serving.routes import Routes
from service.store.pointer_memory import PointerMemory
from service.store.version_store import VersionStore
from service.watcher.policy import Action, Cancel, Keep, Load, Snapshot, Unload, next_action
from service.watcher.rollout import Rollout

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0
_TOUCH_EVERY_S = 3600.0
_KEPT_FAILURES = 50
"""More versions than these fail only where one after the other is pinned."""


class _Failure(msgspec.Struct):
    """Why a version could not be rolled out for now, and when to try again."""

    error: ServiceError
    attempts: int
    retry_at: float


class Reconciler:
    """Brings what serves in line with what is promoted. Rollouts run in the task group `tasks`."""

    def __init__(
        self,
        *,
        source: Source,
        rollout: Rollout,
        routes: Routes,
        desired: DesiredState,
        monitor: StateMonitor,
        tasks: TaskGroup,
        quarantine: Quarantine,
        remembered: PointerMemory,
        finder: VersionFinder,
        store: VersionStore,
        pointer: str,
        on_unpromoted: Literal["keep", "unload"],
    ) -> None:
        self._source = source
        self._rollout = rollout
        self._routes = routes
        self._desired = desired
        self._monitor = monitor
        self._tasks = tasks
        self._on_unpromoted: Literal["keep", "unload"] = on_unpromoted
        self._loading: ModelVersion | None = None
        self._loading_scope = anyio.CancelScope()
        self._quarantine = quarantine
        self._remembered = remembered
        self._finder = finder
        self._store = store
        self._pointer = pointer
        self._fallback: ModelVersion | None = None
        self._fallback_trouble = ""
        self._found_fallback = False
        self._recalled = False
        self._touch_at = -math.inf
        self._failed: dict[ModelVersion, _Failure] = {}
        self._started = False
        self._log = structlog.get_logger("watcher")

    async def run_once(self) -> None:
        """Make one pass."""
        await self._recall()
        if not self._found_fallback and self._rollout.good is None:
            await self._find_fallback()
        woken_by = self._desired.take_trigger()
        changes = [change for change in self._desired.open_changes if not change.observed]
        if changes or not self._is_settled_for_good():
            await self._look()
        for change in changes:
            await self._observe(change)
        trigger = changes[-1].trigger if changes else woken_by
        self._act(next_action(self._snapshot()), trigger if self._started else Trigger.START)
        self._settle()
        await self._drop_refused_pin()
        if self._quarantine.changed:
            await self._remembered.remember_refusals(
                self._quarantine.refusals(), self._quarantine.lifted()
            )
        await self._tidy_up()
        self._publish()

    @property
    def retry_in_s(self) -> float:
        """Seconds until something that failed is to be tried again; infinite where nothing did."""
        now = anyio.current_time()
        waits = (failure.retry_at - now for failure in self._failed.values())
        return min((wait for wait in waits if wait > 0), default=math.inf)

    async def _recall(self) -> None:
        """Take up what an earlier process left: its pin and its refusals.

        And a pin that another service on the same CACHE_DIR has set since, for the same pointer.
        """
        first = not self._recalled
        memory = await self._remembered.recall()
        self._monitor.held = self._remembered.held
        if memory is None:
            return
        self._recalled = True
        if first:
            self._quarantine.restore(memory.refusals)
        if memory.pin != self._monitor.pin:
            pinned = memory.pin.version if memory.pin else None
            self._log.warning("a pin is in force" if first else "pin changed", pinned=pinned)
            self._monitor.pin = memory.pin

    async def _find_fallback(self) -> None:
        """Find the last known good version of an earlier process."""
        try:
            good = await self._store.last_good(self._pointer)
        except (OSError, ServiceError) as error:
            # Tried again with the next pass.
            if not self._fallback_trouble:
                self._log.warning("last known good version can't be found", reason=str(error))
            self._fallback_trouble = f"the last known good version can't be found: {error}"
            return
        self._fallback = good.version if good else None
        self._fallback_trouble, self._found_fallback = "", True

    async def _tidy_up(self) -> None:
        """Say now and then that the pointer is followed, and prune where that was not possible."""
        try:
            if anyio.current_time() >= self._touch_at:
                self._touch_at = anyio.current_time() + _TOUCH_EVERY_S
                # What a pointer needs is kept for months from then on.
                await self._store.touch(self._pointer)
            if self._store.trouble:
                await self._store.prune()
        except (OSError, ServiceError) as error:
            self._log.warning("store not tidied up", reason=str(error))

    def _publish(self) -> None:
        """Tell what was refused, and what is wrong on the disk."""
        self._monitor.held = self._remembered.held
        self._monitor.refused = self._quarantine.reasons()
        unknown = "" if self._rollout.good else self._fallback_trouble
        troubles = (self._remembered.trouble, unknown, self._store.trouble)
        self._monitor.troubles = tuple(filter(None, troubles))

    def _is_settled_for_good(self) -> bool:
        """Whether a pointer that can't move serves already: then there is nothing to poll for."""
        promoted = self._monitor.promoted
        return self._source.immutable and promoted is not None and promoted == self._serving()

    async def _look(self) -> None:
        """Ask the registry what is promoted."""
        before = self._monitor.promoted
        had_looked = self._monitor.has_looked
        try:
            promoted = await self._source.resolve()
        except SourceUnavailableError as error:
            if self._monitor.registry_error != str(error):
                self._log.warning("registry unavailable", reason=str(error))
            self._monitor.look_failed(str(error))
            return
        if self._monitor.registry_error:
            self._log.info("registry seen again")
        self._monitor.looked(promoted)
        if promoted != before or not had_looked:
            # A refusal lasts until the pointer moves, and so does a backoff.
            self._quarantine.keep_only(promoted)
            self._failed.clear()
            if promoted is None:
                self._log.warning("nothing is promoted", pointer=self._source.ref.uri)
            await self._note_promoted(promoted)

    async def _note_promoted(self, promoted: ModelVersion | None) -> None:
        """Have no service prune what is promoted, not even while this one is stopped."""
        try:
            await self._store.mark_promoted(promoted, self._pointer)
        except (OSError, ServiceError) as error:
            self._log.warning("promoted version not noted", reason=str(error))

    async def _observe(self, change: ChangeRequest) -> None:
        """Find out what is asked for, now that the registry was looked at since.

        One that fails fails alone, whatever it raises: the other ones and the pass go on.
        """
        try:
            await self._obey(change)
        except ServiceError as error:
            change.fail(error)
        except Exception as error:  # noqa: BLE001 - a crash barrier for each change request
            self._log.exception("change request failed", trigger=str(change.trigger))
            change.fail(ServiceError(f"the service failed over it: {type(error).__name__}"))

    async def _obey(self, change: ChangeRequest) -> None:
        if isinstance(change, Pin):
            await self._set_pin(await self._finder.find(change.number))
        elif isinstance(change, Unpin):
            await self._set_pin(None)
        if self._monitor.held:
            raise PinUnknownError(self._monitor.held)
        if self._monitor.pin is None and self._monitor.registry_error:
            raise SourceUnavailableError(self._monitor.registry_error)
        change.observed = True
        change.target = self._wanted()
        change.loaded = change.target != self._serving()
        self._quarantine.lift(change.target)
        if change.target is not None:
            self._failed.pop(change.target, None)

    async def _set_pin(self, version: ModelVersion | None) -> None:
        """Pin a version, or follow the registry again, and write that down."""
        if version != self._monitor.pin or self._monitor.held:
            self._monitor.pin = version
            await self._remembered.remember_pin(version)
            self._monitor.held = self._remembered.held
            pinned = version.version if version else None
            self._log.warning("pin changed", pinned=pinned, pointer=self._source.ref.uri)

    async def _drop_refused_pin(self) -> None:
        """Follow the registry again where somebody has just pinned what the gates then refused.

        A pin from before a restart stays: there may be nobody to set it again.
        """
        pin = self._monitor.pin
        if pin is None or self._quarantine.reason(pin) is None:
            return
        if any(
            isinstance(change, Pin) and change.target == pin
            for change in self._desired.open_changes
        ):
            await self._set_pin(None)

    def _wanted(self) -> ModelVersion | None:
        """Return what is to serve: the pin, or else what the registry promotes."""
        return self._monitor.pin or self._monitor.promoted

    def _snapshot(self) -> Snapshot:
        now = anyio.current_time()
        return Snapshot(
            known=self._monitor.has_looked or self._monitor.pin is not None,
            wanted=self._wanted(),
            serving=self._serving(),
            loading=self._loading,
            refused=self._quarantine.versions,
            backing_off=frozenset(
                version for version, failure in self._failed.items() if failure.retry_at > now
            ),
            on_unpromoted=self._on_unpromoted,
            fallback=self._rollout.good or self._fallback,
            unreachable=bool(self._monitor.registry_error),
            held=bool(self._monitor.held),
        )

    def _serving(self) -> ModelVersion | None:
        """Return what answers requests: a version that collapsed does not, even if routed to."""
        current = self._routes.current
        if current is None or current.closed.is_set():
            return None
        return current.version

    def _act(self, action: Action, trigger: Trigger) -> None:
        match action:
            case Load(version):
                self._started = True
                if version != self._wanted():
                    trigger = Trigger.FALLBACK
                # Noted before the task runs, so that no second one can begin beside it.
                self._loading = version
                self._loading_scope = anyio.CancelScope()
                self._tasks.start_soon(self._roll_out, version, trigger)
            case Cancel():
                self._loading_scope.cancel()
            case Unload():
                self._rollout.unload()
            case Keep():
                pass

    async def _roll_out(self, version: ModelVersion, trigger: Trigger) -> None:
        """Run one rollout to its end, whatever the end: nothing escapes from here."""
        try:
            with self._loading_scope:
                await self._rollout.run(version, trigger)
                self._failed.pop(version, None)
        except RefusedError as error:
            self._quarantine.refuse(version, error)
        except ServiceError as error:
            self._note_failure(version, error)
        except OSError as error:
            self._note_failure(version, FetchFailedError(f"{type(error).__name__}: {error}"))
        except Exception as error:  # noqa: BLE001 - a crash barrier: tried again
            self._log.exception("rollout broke off", version=version.version)
            self._note_failure(version, ServiceError(f"{type(error).__name__}: {error}"))
        finally:
            self._loading = None
            self._desired.wake()

    def _note_failure(self, version: ModelVersion, error: ServiceError) -> None:
        known = self._failed.pop(version, None)
        attempts = known.attempts + 1 if known else 1
        backoff_s = min(_FIRST_BACKOFF_S * 2 ** (attempts - 1), _LONGEST_BACKOFF_S)
        backoff_s *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads a fleet's retries
        self._failed[version] = _Failure(error, attempts, anyio.current_time() + backoff_s)
        if len(self._failed) > _KEPT_FAILURES:
            del self._failed[next(iter(self._failed))]
        self._log.warning(
            "promotion will be tried again",
            version=version.version,
            reason=str(error),
            attempts=attempts,
            retry_in_s=round(backoff_s, 1),
        )

    def _settle(self) -> None:
        """Settle each change whose target serves, was refused, failed, or is no longer wanted."""
        for change in self._desired.open_changes:
            if not change.observed:
                continue
            if change.target is not None and change.target == self._serving():
                change.succeed()
            elif (error := self._why_not(change)) is not None:
                change.fail(error)

    def _why_not(self, change: ChangeRequest) -> ServiceError | None:
        """Return why a change can't be made, None while it still may be."""
        target = change.target
        if target is None:
            return NothingPromotedError(f"nothing is promoted at {self._source.ref.uri}")
        if target != self._wanted():
            return SupersededError(f"version {target.version} was superseded by another")
        if (refused := self._quarantine.reason(target)) is not None:
            return refused
        failure = self._failed.get(target)
        return failure.error if failure else None
