"""Bring one version from the registry into service: fetch, environment, load, prove, swap.

Whatever fails on the way ends the candidate and changes nothing that is served.
"""

import time
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import structlog

from service.control.lifecycle import Lifecycle
from service.control.promotion_recorder import PromotionRecorder
from service.control.state import ControlState
from service.core.environments import BuildProgress
from service.core.errors import FetchFailedError, RefusedError, ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.text import presentable
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion
from service.serving.model import LoadedModel
from service.store.version_store import HeldVersion
from service.watcher.building import ENVIRONMENT, BuildStep
from service.watcher.gates.chain import GateChain
from service.watcher.loading import LOAD, load
from service.watcher.prepared import Prepared
from service.watcher.probation import ProbationSettings
from service.watcher.proving import check_files, prove
from service.watcher.settling import Settling
from service.watcher.verdict_log import VerdictLog
from service.watcher.versions import LoadedVersions


class Rollout:
    """Rolls versions out, one at a time, beside what serves.

    Without a `build` they all share the service's environment.
    """

    def __init__(
        self,
        state: ControlState,
        versions: LoadedVersions,
        gates: GateChain,
        probation: ProbationSettings,
        wake: Callable[[], None],
        build: BuildStep | None = None,
    ) -> None:
        self._state = state
        self._build = build
        self._versions = versions
        self._gates = gates
        self._settling = Settling(state, versions, probation, wake)
        self._wake = wake
        self._scope = anyio.CancelScope()
        self._log = structlog.get_logger("rollout")

    @property
    def serving(self) -> ModelVersion | None:
        """The version that answers requests."""
        return self._versions.serving

    def begin(self, version: ModelVersion, trigger: Trigger) -> None:
        """Begin to roll a version out; what comes of it is noted in the control state."""
        # Noted before the task runs, so that no second one can begin beside it.
        trigger = self._state.begin_loading(version, trigger)
        self._scope = anyio.CancelScope()
        self._versions.start_aside(self._attempt, version, trigger)

    def give_up(self) -> None:
        """Have the candidate that is under way given up."""
        self._scope.cancel()

    def unload(self) -> None:
        """Serve nothing any more; the version that served is drained and closed aside."""
        previous = self._versions.unload()
        if previous is not None:
            self._settling.retire(previous)

    async def _attempt(self, version: ModelVersion, trigger: Trigger) -> None:
        """Run one rollout to its end, whatever the end: nothing escapes from here."""
        try:
            with self._scope:
                await self.run(version, trigger)
                self._state.serves(version)
        except RefusedError as error:
            self._state.refuse(version, error)
        except ServiceError as error:
            self._state.failed(version, error)
        except OSError as error:
            self._state.failed(version, FetchFailedError(f"{type(error).__name__}: {error}"))
        except Exception as error:  # noqa: BLE001 - a crash barrier: tried again
            self._log.exception("rollout broke off", version=version.version)
            self._state.failed(version, ServiceError(f"{type(error).__name__}: {error}"))
        finally:
            self._state.end_loading()
            self._wake()

    async def run(self, version: ModelVersion, trigger: Trigger) -> None:
        """Make `version` the one that serves.

        Raise RefusedError where a gate refused it, and any other ServiceError or OSError where
        something failed that may pass. Cancelled at any step before the swap, it leaves nothing.
        """
        recorder = self._state.begin_promotion(version, trigger)
        warm = self._versions.warm(version)
        if warm is not None:
            # It passed every gate when it was loaded, and has served since.
            self._make_current(warm, recorder)
            return
        lifecycle = self._state.begin(version)
        prepared: Prepared | None = None
        candidate: LoadedModel | None = None
        verdicts = VerdictLog(lambda verdict: self._record(recorder, verdict))
        try:
            lifecycle.transition(State.FETCHING)
            prepared = Prepared(await self._fetch(version, recorder))
            # Nothing of its files is read for another purpose before these gates have passed it.
            await check_files(self._gates.of_files, prepared.stored, verdicts)
            if self._build is not None:
                progress = partial(self._progressed, lifecycle)
                await self._build.run(prepared, verdicts, progress, recorder.prepared)
                self._state.environment_ended(version)
            lifecycle.transition(State.LOADING)
            candidate = await load(version, partial(self._versions.open, prepared), verdicts)
            lifecycle.transition(State.PROVING)
            proof = await prove(self._gates, candidate, lambda: self._versions.current, verdicts)
            # What was given up while the last gate decided is given up all the same.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException as error:
            outcome, reason = _outcome_of(error)
            lifecycle.transition(State.FAILED, reason)
            recorder.end(outcome, reason)
            await self._versions.give_up(prepared, candidate)
            raise
        # Nothing may be awaited from here to the end: the swap is one step of the event loop.
        candidate.open_to_traffic(proof)
        self._make_current(candidate, recorder, lifecycle)
        if self._build is not None and prepared.is_new:
            # Nothing else makes them take more; a look at all of them is not for every promotion.
            self._versions.start_aside(self._build.prune)

    async def _fetch(self, version: ModelVersion, recorder: PromotionRecorder) -> HeldVersion:
        started = time.monotonic()
        held = await self._versions.fetch(version)
        recorder.stored(held.stored, time.monotonic() - started)
        return held

    def _progressed(self, lifecycle: Lifecycle, progress: BuildProgress) -> None:
        """Note how far a build is; a version whose environment is there is never in that state."""
        if lifecycle.status.state is State.FETCHING:
            lifecycle.transition(State.BUILDING)
        lifecycle.note(progress.told)
        self._state.environment_progressed(lifecycle.status.version, progress)

    def _record(self, recorder: PromotionRecorder, verdict: Verdict) -> None:
        if verdict.gate == LOAD:
            recorder.loaded(verdict)
        elif verdict.gate == ENVIRONMENT and self._build is not None:
            recorder.found(verdict)
        else:
            recorder.judged(verdict)

    def _make_current(
        self,
        model: LoadedModel,
        recorder: PromotionRecorder,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        """Swap, in one step of the event loop; what follows happens aside."""
        started = time.monotonic()
        previous = self._versions.swap(model, lifecycle)
        recorder.took("swap", time.monotonic() - started)
        recorder.end(PromotionOutcome.SERVING, "it serves")
        self._settling.begin(model, previous, recorder)


def _outcome_of(error: BaseException) -> tuple[PromotionOutcome, str]:
    if isinstance(error, RefusedError):
        return PromotionOutcome.REFUSED, str(error)
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return PromotionOutcome.SUPERSEDED, "it is no longer wanted"
    return PromotionOutcome.FAILED, presentable(str(error)) or type(error).__name__
