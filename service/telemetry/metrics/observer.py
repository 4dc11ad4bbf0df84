"""Counts what a deployment tells."""

from bisect import bisect_left
from collections.abc import Callable, Mapping

from service.core.environments import BuildOutcome, BuildReport
from service.core.errors import OverloadedError, ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.protocols import WireProtocol
from service.core.states import State
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion
from service.telemetry.metrics.counts import PROBATION, ModelCounts, VersionCounts
from service.telemetry.metrics.families import SECONDS
from service.telemetry.metrics.outcomes import REFUSED, outcome_of
from service.telemetry.observer import NullObserver

NO_VERSION = ""
"""The label of requests that no version could answer."""
_OVER = frozenset({State.UNLOADED, State.FAILED})


class MetricsObserver(NullObserver):
    """Counts into what its model has, which deployments of that name before it have begun.

    `clock` is monotonic. `new` is called for a version that has no counts yet.
    """

    def __init__(
        self,
        model: ModelCounts,
        new: Callable[[str], VersionCounts],
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._new = new
        self._clock = clock
        self._version: ModelVersion | None = None
        self._counts: VersionCounts | None = None
        """Those of the version that something was last told of: as a rule the next one is it."""

    def request_answered(
        self, version: ModelVersion, protocol: WireProtocol, rows: int, duration_s: float
    ) -> None:
        """Count it, its rows and its duration."""
        counts = self._counts
        if counts is None or version is not self._version:
            counts = self._of(version)
        counts.rows += rows
        duration = counts.durations[protocol]
        # As `Histogram.note` does it: a call more is a quarter of what this takes.
        duration.counts[bisect_left(SECONDS, duration_s)] += 1
        duration.sum += duration_s

    def request_failed(
        self,
        version: ModelVersion | None,
        protocol: WireProtocol,
        error: ServiceError,
        duration_s: float,
    ) -> None:
        """Count it by whose fault it is, and by its code."""
        del duration_s
        counts = self._of(version)
        outcome = outcome_of(error.code)
        counts.outcomes[protocol][outcome] += 1
        counts.errors[error.code] += 1
        if outcome == REFUSED:
            reason = error.reason if isinstance(error, OverloadedError) else error.code
            counts.shed[reason] += 1

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Count it, its requests and rows, and how long it waited and took."""
        counts = self._counts
        if counts is None or version is not self._version:
            counts = self._of(version)
        counts.batched_requests += requests
        queue, predict = counts.queue, counts.predict
        queue.counts[bisect_left(SECONDS, waited_s)] += 1
        queue.sum += waited_s
        predict.counts[bisect_left(SECONDS, duration_s)] += 1
        predict.sum += duration_s
        if rows:
            counts.batch_rows.note(rows)

    def worker_ready(self, version: ModelVersion, duration_s: float) -> None:
        """Count it, and how long it took."""
        self._of(version).loads.note(duration_s)

    def worker_lost(self, version: ModelVersion, reason: str) -> None:
        """Count it: the reason is a sentence, and stands in the log."""
        del reason
        self._of(version).lost += 1

    def worker_not_replaced(self, version: ModelVersion, reason: str) -> None:
        """Count the attempt."""
        del reason
        self._of(version).not_replaced += 1

    def worker_over_limit(self, version: ModelVersion, reason: str) -> None:
        """Count it: the reason is a sentence, and stands in the log."""
        del reason
        self._of(version).over_limit += 1

    def engine_faults(self, version: ModelVersion, faults: Mapping[str, int]) -> None:
        """Count them by engine."""
        self._of(version).engine_faults.update(faults)

    def engine_fallbacks(self, version: ModelVersion, fallbacks: Mapping[str, int]) -> None:
        """Count them by engine."""
        self._of(version).engine_fallbacks.update(fallbacks)

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Count it by what it was noticed by."""
        del version
        self._model.begun[str(trigger)] += 1

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Note since when nothing of a version is left, so that its numbers go later."""
        del reason
        counts = self._of(version)
        counts.gone_since_s = self._clock() if state in _OVER else None

    def environment_ended(
        self, version: ModelVersion, outcome: BuildOutcome, report: BuildReport, duration_s: float
    ) -> None:
        """Count it by its outcome, and how long it took where it was built."""
        del version, report
        self._model.environments[str(outcome)] += 1
        if outcome is BuildOutcome.BUILT:
            self._model.builds.note(duration_s)

    def step_ended(self, version: ModelVersion, step: str, duration_s: float) -> None:
        """Count its duration."""
        del version
        self._model.steps[step].note(duration_s)

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Count its duration, by the verdict."""
        del version
        self._model.gates[verdict.gate, str(verdict.outcome)].note(verdict.duration_s)

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Count it."""
        del version, previous
        self._model.swaps += 1

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Count it by its outcome."""
        del version, reason
        self._model.ended[str(outcome)] += 1
        if outcome is PromotionOutcome.ROLLED_BACK:
            self._model.rollbacks[PROBATION] += 1

    def _of(self, version: ModelVersion | None) -> VersionCounts:
        """Return the counts of a version, by its number alone: the label that it has."""
        label = NO_VERSION if version is None else version.version
        counts = self._model.versions.get(label) or self._new(label)
        self._version, self._counts = version, counts
        return counts
