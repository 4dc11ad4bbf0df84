"""One pass: look at the registry, decide, act, and tell those that wait what came of it."""

from typing import Literal

import structlog

from service.control.desired import ChangeRequest, DesiredState, Pin, Unpin
from service.control.state import ControlState
from service.core.errors import (
    NothingPromotedError,
    PinUnknownError,
    ServiceError,
    SourceUnavailableError,
    SupersededError,
)
from service.core.events import Trigger
from service.registry.finder import VersionFinder
from service.registry.sources import Source
from service.watcher.policy import Action, Cancel, Keep, Load, Unload, next_action
from service.watcher.rollout import Rollout


class Reconciler:
    """Brings what serves in line with what is wanted, pass by pass."""

    def __init__(
        self,
        *,
        source: Source,
        finder: VersionFinder,
        desired: DesiredState,
        state: ControlState,
        rollout: Rollout,
        on_unpromoted: Literal["keep", "unload"],
    ) -> None:
        self._source = source
        self._finder = finder
        self._desired = desired
        self._state = state
        self._rollout = rollout
        self._on_unpromoted: Literal["keep", "unload"] = on_unpromoted
        self._log = structlog.get_logger("watcher")

    async def run_once(self) -> None:
        """Make one pass."""
        await self._state.recall()
        woken_by = self._desired.take_trigger()
        changes = [change for change in self._desired.open_changes if not change.observed]
        if changes or not self._is_settled_for_good():
            await self._look()
        for change in changes:
            await self._observe(change)
        now = self._state.snapshot(self._rollout.serving, self._on_unpromoted)
        self._act(next_action(now), changes[-1].trigger if changes else woken_by)
        self._settle()
        await self._drop_refused_pin()
        await self._state.save()

    def _is_settled_for_good(self) -> bool:
        """Whether a pointer that can't move serves already: then there is nothing to poll for."""
        promoted = self._state.registry.promoted
        return self._source.immutable and promoted is not None and promoted == self._rollout.serving

    async def _look(self) -> None:
        """Ask the registry what is promoted."""
        try:
            promoted = await self._source.resolve()
        except SourceUnavailableError as error:
            self._state.look_failed(str(error))
            return
        if await self._state.looked(promoted) and promoted is None:
            self._log.warning("nothing is promoted", pointer=self._source.ref.uri)

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
        state = self._state
        if isinstance(change, Pin):
            await state.set_pin(await self._finder.find(change.number), self._source.ref.uri)
        elif isinstance(change, Unpin):
            await state.set_pin(None, self._source.ref.uri)
        if state.held:
            raise PinUnknownError(state.held)
        if state.pin is None and state.registry.error:
            raise SourceUnavailableError(state.registry.error)
        change.observed = True
        change.target = state.wanted
        change.loaded = change.target != self._rollout.serving
        if change.target is not None:
            state.allow(change.target)

    async def _drop_refused_pin(self) -> None:
        """Follow the registry again where somebody has just pinned what the gates then refused.

        A pin from before a restart stays: there may be nobody to set it again.
        """
        pin = self._state.pin
        if pin is None or self._state.refusal(pin) is None:
            return
        if any(
            isinstance(change, Pin) and change.target == pin
            for change in self._desired.open_changes
        ):
            await self._state.set_pin(None, self._source.ref.uri)

    def _act(self, action: Action, trigger: Trigger) -> None:
        match action:
            case Load(version):
                self._rollout.begin(version, trigger)
            case Cancel():
                self._rollout.give_up()
            case Unload():
                self._rollout.unload()
            case Keep():
                pass

    def _settle(self) -> None:
        """Settle each change whose target serves, was refused, failed, or is no longer wanted."""
        for change in self._desired.open_changes:
            if not change.observed:
                continue
            if change.target is not None and change.target == self._rollout.serving:
                change.succeed()
            elif (error := self._why_not(change)) is not None:
                change.fail(error)

    def _why_not(self, change: ChangeRequest) -> ServiceError | None:
        """Return why a change can't be made, None while it still may be."""
        target = change.target
        if target is None:
            return NothingPromotedError(f"nothing is promoted at {self._source.ref.uri}")
        if target != self._state.wanted:
            return SupersededError(f"version {target.version} was superseded by another")
        return self._state.why_not(target)
