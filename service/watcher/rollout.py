"""Bring one version from the registry into service: fetch, load, prove, swap, drain the old one.

Whatever fails on the way ends the candidate and changes nothing that is served.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup, TaskStatus

from service.control.journal import Journal
from service.control.monitor import Lifecycle, StateMonitor
from service.control.quarantine import Quarantine
from service.core.errors import RefusedError, ServiceError
from service.core.events import Promotion, PromotionOutcome, Trigger
from service.core.states import State
from service.core.status_reporter import NullReporter, StatusReporter
from service.core.text import presentable
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion
from service.serving.model import LoadedModel, ModelHost
from service.serving.record import Known
from service.serving.routes import Routes
from service.store.version_store import HeldVersion, VersionStore
from service.watcher.gates.chain import GateChain
from service.watcher.loading import LOAD, load
from service.watcher.probation import Probation, ProbationSettings
from service.watcher.promotion_recorder import PromotionRecorder
from service.watcher.proving import check_files, prove
from service.watcher.verdict_log import VerdictLog

_NULL_REPORTER = NullReporter()


def _nothing() -> None:
    """Wake no one."""


class Rollout:
    """Rolls versions out, one at a time; the versions it opens live in the task group `tasks`."""

    def __init__(
        self,
        *,
        store: VersionStore,
        host: ModelHost,
        gates: GateChain,
        routes: Routes,
        monitor: StateMonitor,
        journal: Journal,
        tasks: TaskGroup,
        drain_timeout_s: float,
        pointer: str,
        probation: ProbationSettings,
        quarantine: Quarantine,
        reporter: StatusReporter = _NULL_REPORTER,
        wake: Callable[[], None] = _nothing,
    ) -> None:
        self._store = store
        self._host = host
        self._gates = gates
        self._routes = routes
        self._monitor = monitor
        self._journal = journal
        self._tasks = tasks
        self._drain_timeout_s = drain_timeout_s
        self._pointer = pointer
        self._probation = probation
        self._quarantine = quarantine
        self.good: ModelVersion | None = None
        """What this process has last noted as the last known good version."""
        self._reporter = reporter
        self._wake = wake
        self._probations: dict[LoadedModel, Probation] = {}
        """The latest of each version that is loaded."""
        self._log = structlog.get_logger("rollout")
        self._lifecycles: dict[LoadedModel, Lifecycle] = {}

    async def run(self, version: ModelVersion, trigger: Trigger) -> None:
        """Make `version` the one that serves.

        Raise RefusedError where a gate refused it, and any other ServiceError or OSError where
        something failed that may pass. Cancelled at any step before the swap, it leaves nothing.
        """
        recorder = PromotionRecorder(Promotion(version, trigger, datetime.now(UTC)), self._journal)
        log = self._log.bind(model=version.name, version=version.version)
        log.info("promotion noticed", trigger=str(trigger))
        warm = self._warm(version)
        if warm is not None:
            # It passed every gate when it was loaded, and has served since.
            self._make_current(warm, recorder, log)
            return
        lifecycle = self._monitor.begin(version)
        in_use: HeldVersion | None = None
        candidate: LoadedModel | None = None
        verdicts = VerdictLog(partial(_tell, recorder, log))
        try:
            lifecycle.transition(State.FETCHING)
            in_use = await self._fetch(version, recorder, log)
            lifecycle.transition(State.LOADING)
            await check_files(self._gates.of_files, in_use.stored, verdicts)
            candidate = await load(version, partial(self._open, in_use), verdicts)
            lifecycle.transition(State.PROVING)
            proof = await prove(self._gates, candidate, lambda: self._routes.current, verdicts)
            # What was given up while the last gate decided is given up all the same.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException as error:
            outcome, reason = _outcome_of(error)
            lifecycle.transition(State.FAILED, reason)
            recorder.end(outcome, reason)
            if outcome is PromotionOutcome.REFUSED:
                self._reporter.refused(version, reason)
            log.warning("promotion ended", ending=str(outcome), reason=reason)
            if candidate is not None:
                await _close(candidate)
            elif in_use is not None:
                await self._release(in_use)
            raise
        # Nothing may be awaited from here to the end: the swap is one step of the event loop.
        candidate.open_to_traffic(proof)
        lifecycle.transition(State.READY)
        self._lifecycles[candidate] = lifecycle
        self._make_current(candidate, recorder, log)

    def _warm(self, version: ModelVersion) -> LoadedModel | None:
        """Return a version that is still loaded behind the one that serves, if it can answer."""
        for model in self._lifecycles:
            if model.version == version and model is not self._routes.current and model.can_answer:
                return model
        return None

    def _make_current(
        self,
        model: LoadedModel,
        recorder: PromotionRecorder,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        """Swap, in one step of the event loop; what follows happens aside."""
        started = time.monotonic()
        previous = self._routes.swap(model)
        recorder.took("swap", time.monotonic() - started)
        recorder.end(PromotionOutcome.SERVING, "it serves")
        self._reporter.serving(model.version)
        if previous is not None and previous.version != model.version:
            self._reporter.retired(previous.version)
        log.info("version serves", replaced=previous.version.version if previous else None)
        self._start_aside(self._note_serving, model)
        self._start_aside(self._remember_first_good, model)
        self._start_aside(self._settle_in, model, previous, recorder)

    def unload(self) -> None:
        """Serve nothing any more; the version that served is drained and closed on the side."""
        previous = self._routes.swap(None)
        if previous is not None:
            self._reporter.retired(previous.version)
            self._start_aside(self._retire, previous)

    def _start_aside(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Start what comes after a swap; what it raises must not end what else is served."""

        async def run() -> None:
            try:
                await work(*arguments)
            except Exception:  # noqa: BLE001 - a crash barrier: all versions live in this group
                self._log.exception("work after a swap broke off")

        self._tasks.start_soon(run)

    async def _fetch(
        self,
        version: ModelVersion,
        recorder: PromotionRecorder,
        log: structlog.typing.FilteringBoundLogger,
    ) -> HeldVersion:
        started = time.monotonic()
        in_use = await self._store.ensure_in_use(version)
        recorder.took("fetch", time.monotonic() - started)
        digest = in_use.stored.digest
        log.info("version in the store", took_s=recorder.duration("fetch"), digest=digest)
        return in_use

    async def _open(self, in_use: HeldVersion) -> LoadedModel:
        opened: LoadedModel = await self._tasks.start(self._host_in_use, in_use)
        return opened

    async def _host_in_use(
        self, in_use: HeldVersion, *, task_status: TaskStatus[LoadedModel]
    ) -> None:
        """Host a version, whose files nobody prunes meanwhile."""
        try:
            await self._host.run(in_use.stored, task_status=task_status)
        finally:
            await self._release(in_use)

    async def _release(self, in_use: HeldVersion) -> None:
        """Let files be pruned again; a lock that can't be given back ends nothing that serves."""
        try:
            with anyio.CancelScope(shield=True):
                await in_use.release()
        except (OSError, ServiceError) as error:
            self._log.warning("version not released in the store", reason=str(error))

    async def _settle_in(
        self, model: LoadedModel, previous: LoadedModel | None, recorder: PromotionRecorder
    ) -> None:
        """Do what follows a swap: watch the new version, end the one before, remember, prune.

        The version before keeps its workers until probation is over: if the new one fails it, the
        one before takes over again immediately.
        """
        before = previous.known if previous is not None else Known(0, 0)
        probation = self._probations[model] = Probation(model, before, self._probation)
        if previous is not None and not self._stays_warm(previous):
            self._start_aside(self._drain, previous, recorder)
            previous = None
        await self._watch(probation, model, previous, recorder)

    def _stays_warm(self, previous: LoadedModel) -> bool:
        """Tell whether a version is worth going back to: not one that was refused itself."""
        return self._probation.keep_warm and self._quarantine.reason(previous.version) is None

    async def _watch(
        self,
        probation: Probation,
        model: LoadedModel,
        previous: LoadedModel | None,
        recorder: PromotionRecorder,
    ) -> None:
        """Serve a probation, or what is left of it, and do what follows from its end."""

        def is_current() -> bool:
            return self._routes.current is model and self._probations.get(model) is probation

        failure = await probation.serve(is_current, previous)
        if failure and previous is not None and previous.can_answer:
            self._roll_back(model, previous, failure, recorder)
            self._start_aside(self._note_serving, previous)
            self._start_aside(self._go_on, previous, recorder)
            await self._retire(model, f"rolled back: {failure}")
            return
        if failure:
            await self._refuse_for_last_good(model, failure, recorder)
        if previous is not None:
            await self._drain(previous, recorder)
        if probation.passed:
            await self._remember_good(model)
        try:
            await self._store.prune()
        except (OSError, ServiceError) as error:
            self._log.warning("store not pruned", reason=str(error))

    async def _note_serving(self, model: LoadedModel) -> None:
        """Have nobody prune what serves, not even while this service is stopped."""
        try:
            await self._store.mark_serving(model.version, self._pointer)
        except (OSError, ServiceError) as error:
            self._log.warning("version that serves not noted", reason=str(error))

    async def _go_on(self, model: LoadedModel, recorder: PromotionRecorder) -> None:
        """Watch a version that serves again, if it had not passed its probation when it left.

        Until it has, the last known good version stays what it is.
        """
        probation = self._probations.get(model)
        if probation is not None and not (probation.passed or probation.is_under_way):
            await self._watch(probation, model, None, recorder)

    async def _drain(self, previous: LoadedModel, recorder: PromotionRecorder) -> None:
        started = time.monotonic()
        await self._retire(previous)
        recorder.took("drain", time.monotonic() - started)

    async def _refuse_for_last_good(
        self, model: LoadedModel, failure: str, recorder: PromotionRecorder
    ) -> None:
        """Refuse a version that fails too often, and behind which none is warm.

        The watcher then loads the last known good version in its place; if there is no other one,
        what serves badly is better than nothing.
        """
        good = self.good
        if good is None:
            try:
                stored = await self._store.last_good(self._pointer)
            except (OSError, ServiceError) as error:
                self._log.warning("last known good version can't be found", reason=str(error))
            else:
                good = stored.version if stored is not None else None
        if good is None or good == model.version or self._quarantine.reason(good) is not None:
            self._log.error("version fails too often, and there is no other one", reason=failure)
            return
        if self._routes.current is model:
            self._refuse(model, failure, recorder)
            self._wake()

    async def _remember_first_good(self, model: LoadedModel) -> None:
        """Remember a version where none is: one that time has not proved is better than none."""
        if self.good is not None:
            # Nobody prunes it: there is no need to read its files.
            return
        try:
            known = await self._store.last_good(self._pointer)
        except (OSError, ServiceError) as error:
            self._log.warning("last known good version can't be found", reason=str(error))
            return
        if known is None:
            await self._remember_good(model)

    async def _remember_good(self, model: LoadedModel) -> None:
        """Make this the version that serves after a start without the registry."""
        if model.version == self.good:
            return
        try:
            await self._store.mark_good(model.stored, self._pointer)
            self.good = model.version
        except (OSError, ServiceError) as error:
            self._log.warning("last known good version not noted", reason=str(error))

    def _roll_back(
        self, model: LoadedModel, previous: LoadedModel, reason: str, recorder: PromotionRecorder
    ) -> None:
        """Swap the version before in again and quarantine the one that failed."""
        self._routes.swap(previous)
        self._refuse(model, reason, recorder)
        self._reporter.serving(previous.version)
        self._log.error(
            "version rolled back",
            model=model.version.name,
            version=model.version.version,
            serves=previous.version.version,
            reason=reason,
        )

    def _refuse(self, model: LoadedModel, reason: str, recorder: PromotionRecorder) -> None:
        error = RefusedError(f"rolled back: {reason}", recorder.verdicts)
        self._quarantine.refuse(model.version, error)
        recorder.end(PromotionOutcome.ROLLED_BACK, reason)
        self._reporter.refused(model.version, str(error))

    async def _retire(self, model: LoadedModel, reason: str = "") -> None:
        """Wait until the last request has left a version, within DRAIN_TIMEOUT_S, and close it.

        Does nothing for a version that serves again, or that somebody has retired already.
        """
        if model is self._routes.current or model not in self._lifecycles:
            return
        lifecycle = self._lifecycles.pop(model)
        self._probations.pop(model, None)
        lifecycle.transition(State.DRAINING, reason)
        with anyio.move_on_after(self._drain_timeout_s) as scope:
            await model.drained()
        if scope.cancelled_caught:
            self._log.warning("drain timed out", version=model.version.version, left=model.leases)
        await _close(model)
        lifecycle.transition(State.UNLOADED, reason)
        self._log.info("version gone", model=model.version.name, version=model.version.version)


def _tell(
    recorder: PromotionRecorder, log: structlog.typing.FilteringBoundLogger, verdict: Verdict
) -> None:
    """Record a verdict, and what was found so far took."""
    step = LOAD if verdict.gate == LOAD else "gates"
    recorder.judged(verdict)
    recorder.took(step, recorder.duration(step) + verdict.duration_s)
    log.info("gate", gate=verdict.gate, outcome=str(verdict.outcome), reason=verdict.reason)


def _outcome_of(error: BaseException) -> tuple[PromotionOutcome, str]:
    if isinstance(error, RefusedError):
        return PromotionOutcome.REFUSED, str(error)
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return PromotionOutcome.SUPERSEDED, "it is no longer wanted"
    return PromotionOutcome.FAILED, presentable(str(error)) or type(error).__name__


async def _close(model: LoadedModel) -> None:
    with anyio.CancelScope(shield=True):
        model.close()
        await model.closed.wait()
