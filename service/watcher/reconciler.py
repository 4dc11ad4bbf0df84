"""One pass: look at the registry, decide, act, and tell those who wait what came of it."""

import random
import time
from collections.abc import Iterable
from typing import Literal

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from service.core.errors import (
    FetchFailedError,
    NothingPromotedError,
    RefusedError,
    ServiceError,
    SourceUnavailableError,
    SupersededError,
)
from service.core.events import Trigger
from service.core.versions import ModelVersion
from service.registry.sources import Source
from service.serving.desired import DesiredState, Reload
from service.serving.slot import Slot
from service.telemetry.monitor import StateMonitor
from service.watcher.policy import Action, Cancel, Keep, Load, Snapshot, Unload, next_action
from service.watcher.rollout import Rollout

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0


class _Failure(msgspec.Struct):
    """Why a version could not be rolled out for now, and when to try again."""

    error: ServiceError
    attempts: int
    retry_at: float


class Reconciler:
    """Brings what serves in line with what is promoted. Rollouts run in `nursery`."""

    def __init__(
        self,
        *,
        source: Source,
        rollout: Rollout,
        slot: Slot,
        desired: DesiredState,
        monitor: StateMonitor,
        nursery: TaskGroup,
        on_unpromoted: Literal["keep", "unload"],
    ) -> None:
        self._source = source
        self._rollout = rollout
        self._slot = slot
        self._desired = desired
        self._monitor = monitor
        self._nursery = nursery
        self._on_unpromoted: Literal["keep", "unload"] = on_unpromoted
        self._loading: ModelVersion | None = None
        self._loading_scope = anyio.CancelScope()
        self._refused: dict[ModelVersion, RefusedError] = {}
        self._failed: dict[ModelVersion, _Failure] = {}
        self._started = False
        self._log = structlog.get_logger("watcher")

    async def run_once(self) -> None:
        """Make one pass."""
        woken_by = self._desired.take_trigger()
        wishes = [wish for wish in self._desired.open_reloads if not wish.observed]
        if wishes or not self._is_settled_for_good():
            await self._look(wishes)
        trigger = Trigger.RELOAD if wishes else woken_by
        self._act(next_action(self._snapshot()), trigger if self._started else Trigger.START)
        self._settle()

    def _is_settled_for_good(self) -> bool:
        """Whether a pointer that can't move serves already: then there is nothing to poll for."""
        return self._source.immutable and self._serving() is not None

    async def _look(self, wishes: Iterable[Reload]) -> None:
        """Ask the registry what is promoted, for those wishes that came before the question."""
        before = self._monitor.promoted
        try:
            promoted = await self._source.resolve()
        except SourceUnavailableError as error:
            if self._monitor.registry_error != str(error):
                self._log.warning("registry unavailable", reason=str(error))
            self._monitor.look_failed(str(error))
            for wish in wishes:
                wish.fail(error)
            return
        if self._monitor.registry_error:
            self._log.info("registry seen again")
        self._monitor.looked(promoted)
        if promoted != before:
            # A refusal lasts until the pointer moves; so does patience with what fails.
            self._refused.clear()
            self._failed.clear()
            if promoted is None:
                self._log.warning("nothing is promoted", pointer=self._source.ref.uri)
        for wish in wishes:
            wish.observed = True
            wish.target = promoted
            wish.loaded = promoted != self._serving()
            if promoted is not None:
                self._refused.pop(promoted, None)
                self._failed.pop(promoted, None)

    def _snapshot(self) -> Snapshot:
        now = time.monotonic()
        return Snapshot(
            looked=self._monitor.has_looked,
            promoted=self._monitor.promoted,
            serving=self._serving(),
            loading=self._loading,
            refused=frozenset(self._refused),
            backing_off=frozenset(
                version for version, failure in self._failed.items() if failure.retry_at > now
            ),
            on_unpromoted=self._on_unpromoted,
        )

    def _serving(self) -> ModelVersion | None:
        """Return what answers requests: a version that collapsed does not, even in the slot."""
        current = self._slot.current
        if current is None or current.closed.is_set():
            return None
        return current.version

    def _act(self, action: Action, trigger: Trigger) -> None:
        match action:
            case Load(version):
                self._started = True
                # Noted before the task runs, so that no second one can begin beside it.
                self._loading = version
                self._loading_scope = anyio.CancelScope()
                self._nursery.start_soon(self._roll_out, version, trigger)
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
            self._refused[version] = error
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
        known = self._failed.get(version)
        attempts = known.attempts + 1 if known else 1
        backoff_s = min(_FIRST_BACKOFF_S * 2 ** (attempts - 1), _LONGEST_BACKOFF_S)
        backoff_s *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads a fleet's retries
        self._failed[version] = _Failure(error, attempts, time.monotonic() + backoff_s)
        self._log.warning(
            "promotion will be tried again",
            version=version.version,
            reason=str(error),
            attempts=attempts,
            retry_in_s=round(backoff_s, 1),
        )

    def _settle(self) -> None:
        """Tell each wish whose target serves, was refused, failed, or is no longer wanted."""
        serving = self._serving()
        for wish in self._desired.open_reloads:
            target = wish.target
            if not wish.observed:
                continue
            if target is None:
                wish.fail(NothingPromotedError(f"nothing is promoted at {self._source.ref.uri}"))
            elif target == serving:
                wish.succeed()
            elif target != self._monitor.promoted:
                wish.fail(SupersededError(f"version {target.version} was superseded by another"))
            elif target in self._refused:
                wish.fail(self._refused[target])
            elif target in self._failed:
                wish.fail(self._failed[target].error)
