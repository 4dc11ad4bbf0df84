"""The steps after a swap: the new version is watched, and the one before takes over or ends."""

import time
from collections.abc import Callable

import msgspec
import structlog

from service.control.promotion_recorder import PromotionRecorder
from service.control.state import ControlState
from service.core.errors import RefusedError
from service.core.events import PromotionOutcome
from service.serving.model import LoadedModel
from service.serving.record import Known
from service.watcher.probation import Probation, ProbationSettings
from service.watcher.versions import LoadedVersions


class _Settled(msgspec.Struct, frozen=True):
    """The probation of a version that has come to serve, and the record of its promotion."""

    probation: Probation
    recorder: PromotionRecorder


class Settling:
    """Watches versions that have come to serve, beside the requests.

    `wake` has the watcher make a pass, where another version is to be loaded.
    """

    def __init__(
        self,
        state: ControlState,
        versions: LoadedVersions,
        probation: ProbationSettings,
        wake: Callable[[], None],
    ) -> None:
        self._state = state
        self._versions = versions
        self._probation = probation
        self._wake = wake
        self._settled: dict[LoadedModel, _Settled] = {}
        """The latest of each version that is loaded."""
        self._log = structlog.get_logger("rollout")

    def begin(
        self, model: LoadedModel, previous: LoadedModel | None, recorder: PromotionRecorder
    ) -> None:
        """Begin with a version that serves from now on."""
        start_aside, needs = self._versions.start_aside, self._state.needs
        start_aside(needs.note_serving, model.version)
        start_aside(needs.note_first_good, model.stored)
        start_aside(self._settle, model, previous, recorder)

    def retire(self, model: LoadedModel) -> None:
        """Begin to end a version that serves no more."""
        self._versions.start_aside(self._retire, model)

    async def _settle(
        self, model: LoadedModel, previous: LoadedModel | None, recorder: PromotionRecorder
    ) -> None:
        """Watch the new version; the one before keeps its workers until probation is over.

        If the new one fails it, the one before takes over again immediately.
        """
        before = previous.known if previous is not None else Known(0, 0)
        probation = Probation(model, before, self._probation)
        self._settled[model] = settled = _Settled(probation, recorder)
        if previous is not None and not self._stays_warm(previous):
            self._versions.start_aside(self._drain, previous, recorder)
            previous = None
        await self._watch(model, settled, previous)

    def _stays_warm(self, previous: LoadedModel) -> bool:
        """Tell whether a version is worth going back to: not one that was refused itself."""
        return self._probation.keep_warm and self._state.refusal(previous.version) is None

    async def _watch(
        self, model: LoadedModel, settled: _Settled, previous: LoadedModel | None
    ) -> None:
        """Serve a probation, or what is left of it, and do what follows from its end."""

        def is_current() -> bool:
            return self._versions.current is model and self._settled.get(model) is settled

        started = time.monotonic()
        failure = await settled.probation.serve(is_current, previous)
        settled.recorder.settled(time.monotonic() - started)
        if failure and previous is not None and previous.can_answer:
            await self._roll_back(model, settled, previous, failure)
            return
        if failure:
            await self._refuse_for_last_good(model, settled, failure)
        if previous is not None:
            await self._drain(previous, settled.recorder)
        if settled.probation.passed:
            await self._state.needs.note_good(model.stored)
        await self._state.needs.prune()

    async def _roll_back(
        self, model: LoadedModel, settled: _Settled, previous: LoadedModel, failure: str
    ) -> None:
        """Have the version before serve again, and end the one that failed."""
        self._versions.swap(previous)
        self._refuse(model, settled, failure)
        self._versions.start_aside(self._state.needs.note_serving, previous.version)
        self._versions.start_aside(self._go_on, previous)
        await self._retire(model, f"rolled back: {failure}")

    async def _go_on(self, model: LoadedModel) -> None:
        """Watch a version that serves again, if it had not passed its probation when it left.

        Until it has, the last known good version stays what it is.
        """
        settled = self._settled.get(model)
        if settled and not (settled.probation.passed or settled.probation.is_under_way):
            await self._watch(model, settled, None)

    async def _refuse_for_last_good(
        self, model: LoadedModel, settled: _Settled, failure: str
    ) -> None:
        """Refuse a version that fails too often, and behind which none is warm.

        The watcher then loads the last known good version in its place; if there is no other one,
        what serves badly is better than nothing.
        """
        good = await self._state.needs.look_for_good()
        if good is None or good == model.version or self._state.refusal(good) is not None:
            self._log.error("version fails too often, and there is no other one", reason=failure)
        elif self._versions.current is model:
            self._refuse(model, settled, failure)
            self._wake()

    def _refuse(self, model: LoadedModel, settled: _Settled, reason: str) -> None:
        error = RefusedError(f"rolled back: {reason}", settled.recorder.verdicts)
        self._state.refuse(model.version, error)
        settled.recorder.end(PromotionOutcome.ROLLED_BACK, reason)

    async def _drain(self, previous: LoadedModel, recorder: PromotionRecorder) -> None:
        started = time.monotonic()
        if await self._retire(previous):
            recorder.took("drain", time.monotonic() - started)

    async def _retire(self, model: LoadedModel, reason: str = "") -> bool:
        is_retired = await self._versions.retire(model, reason)
        if is_retired:
            self._settled.pop(model, None)
        return is_retired
