"""The events of one deployment: of its requests, batches, workers and promotions."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from service.core.environments import BuildOutcome, BuildProgress, BuildReport
from service.core.errors import ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.protocols import WireProtocol
from service.core.states import State
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion, StoredVersion


@runtime_checkable
class Observer(Protocol):
    """Told of each event on the event loop, after it happened; nothing depends on the answer.

    Each method returns immediately, without I/O, and raises nothing. Seconds are durations by a
    monotonic clock. A deployment has an observer of its own, so no event says whose it is.
    """

    def request_answered(
        self, version: ModelVersion, protocol: WireProtocol, rows: int, duration_s: float
    ) -> None:
        """Note a request that a version answered, from its body to its encoded answer."""
        ...

    def request_detailed(
        self,
        version: ModelVersion,
        duration_s: float,
        decode_s: float | None,
        encode_s: float | None,
        waiting: int,
        unanswered: int,
    ) -> None:
        """Note where the time of that request went, and what it found: next after its answer.

        A step is None where a worker did it, or the caller itself does. When the request came,
        `waiting` others waited for a worker, and `unanswered` had no answer yet, itself included.
        """
        ...

    def request_failed(
        self,
        version: ModelVersion | None,
        protocol: WireProtocol,
        error: ServiceError,
        duration_s: float,
    ) -> None:
        """Note a request that was refused or that failed; None where no version could answer."""
        ...

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Note a batch that its worker is done with, whatever came of it.

        `rows` is 0 for a body that the worker decodes. `waited_s` is how long its oldest request
        had waited for a worker.
        """
        ...

    def worker_ready(self, version: ModelVersion, duration_s: float) -> None:
        """Note a worker that has loaded its version, and how long start and load took."""
        ...

    def worker_lost(self, version: ModelVersion, reason: str) -> None:
        """Note a worker that ended though nobody had asked it to."""
        ...

    def worker_not_replaced(self, version: ModelVersion, reason: str) -> None:
        """Note an attempt to replace a lost worker that failed; another one follows."""
        ...

    def worker_over_limit(self, version: ModelVersion, reason: str) -> None:
        """Note a worker that was ended for more memory than WORKER_LIMITS allows, at load too."""
        ...

    def engine_faults(self, version: ModelVersion, faults: Mapping[str, int]) -> None:
        """Note compiled engines that failed inside a worker, where MLflow's own call answered."""
        ...

    def engine_fallbacks(self, version: ModelVersion, fallbacks: Mapping[str, int]) -> None:
        """Note compiled engines that left a call to MLflow's own, which they can't answer."""
        ...

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Note a version that is to serve from now on, and by what that was noticed."""
        ...

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Note that a version has gone to another state."""
        ...

    def version_stored(self, stored: StoredVersion, duration_s: float) -> None:
        """Note that a version's files are in the store, fetched or found there and checked."""
        ...

    def environment_progressed(self, version: ModelVersion, progress: BuildProgress) -> None:
        """Note how far the build of a version's environment is."""
        ...

    def environment_ended(
        self, version: ModelVersion, outcome: BuildOutcome, report: BuildReport, duration_s: float
    ) -> None:
        """Note what came of looking for a version's environment, and how long that took.

        The report is empty where there is none.
        """
        ...

    def step_ended(self, version: ModelVersion, step: str, duration_s: float) -> None:
        """Note a step of a promotion, such as `fetch`, `swap` or `drain`."""
        ...

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Note what a gate found, and how long it took."""
        ...

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Note which version new requests go to; None for none, and for none before."""
        ...

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Note what came of a promotion; a second time for a version that is rolled back."""
        ...


class NullObserver:
    """An observer that notes nothing; the base of those that need a few events only."""

    def request_answered(
        self, version: ModelVersion, protocol: WireProtocol, rows: int, duration_s: float
    ) -> None:
        """Note nothing."""

    def request_detailed(
        self,
        version: ModelVersion,
        duration_s: float,
        decode_s: float | None,
        encode_s: float | None,
        waiting: int,
        unanswered: int,
    ) -> None:
        """Note nothing."""

    def request_failed(
        self,
        version: ModelVersion | None,
        protocol: WireProtocol,
        error: ServiceError,
        duration_s: float,
    ) -> None:
        """Note nothing."""

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Note nothing."""

    def worker_ready(self, version: ModelVersion, duration_s: float) -> None:
        """Note nothing."""

    def worker_lost(self, version: ModelVersion, reason: str) -> None:
        """Note nothing."""

    def worker_not_replaced(self, version: ModelVersion, reason: str) -> None:
        """Note nothing."""

    def worker_over_limit(self, version: ModelVersion, reason: str) -> None:
        """Note nothing."""

    def engine_faults(self, version: ModelVersion, faults: Mapping[str, int]) -> None:
        """Note nothing."""

    def engine_fallbacks(self, version: ModelVersion, fallbacks: Mapping[str, int]) -> None:
        """Note nothing."""

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Note nothing."""

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Note nothing."""

    def version_stored(self, stored: StoredVersion, duration_s: float) -> None:
        """Note nothing."""

    def environment_progressed(self, version: ModelVersion, progress: BuildProgress) -> None:
        """Note nothing."""

    def environment_ended(
        self, version: ModelVersion, outcome: BuildOutcome, report: BuildReport, duration_s: float
    ) -> None:
        """Note nothing."""

    def step_ended(self, version: ModelVersion, step: str, duration_s: float) -> None:
        """Note nothing."""

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Note nothing."""

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Note nothing."""

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Note nothing."""


NULL_OBSERVER = NullObserver()

EVENTS = tuple(name for name in vars(NullObserver) if not name.startswith("_"))
"""The names of all events."""
