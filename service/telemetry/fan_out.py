"""Tells several observers, of which none can break what is observed or keep it from the others."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from service.core.errors import ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion, StoredVersion
from service.telemetry.observer import EVENTS, NullObserver, Observer

_log = structlog.get_logger("observers")


class FanOut:
    """An observer that tells others, in their order.

    One that raises is logged the first time, and goes on to be told. An event that an observer
    leaves to `NullObserver` costs no call.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._listeners = {event: _listeners(observers, event) for event in EVENTS}
        self._broken: set[int] = set()
        """The observers that have raised, by their identity: they are asked nothing more."""

    def _tell(self, event: str, *told: object) -> None:
        for observer, listen in self._listeners[event]:
            try:
                listen(*told)
            except Exception:  # noqa: BLE001 - a crash barrier: it is worth no request
                if id(observer) not in self._broken:
                    self._broken.add(id(observer))
                    _log.exception("observer raised", observer=type(observer).__name__, told=event)

    def request_answered(self, version: ModelVersion, rows: int, duration_s: float) -> None:
        """Tell it."""
        self._tell("request_answered", version, rows, duration_s)

    def request_failed(
        self, version: ModelVersion | None, error: ServiceError, duration_s: float
    ) -> None:
        """Tell it."""
        self._tell("request_failed", version, error, duration_s)

    def batch_ended(
        self, version: ModelVersion, requests: int, rows: int, waited_s: float, duration_s: float
    ) -> None:
        """Tell it."""
        self._tell("batch_ended", version, requests, rows, waited_s, duration_s)

    def worker_ready(self, version: ModelVersion, duration_s: float) -> None:
        """Tell it."""
        self._tell("worker_ready", version, duration_s)

    def worker_lost(self, version: ModelVersion, reason: str) -> None:
        """Tell it."""
        self._tell("worker_lost", version, reason)

    def worker_not_replaced(self, version: ModelVersion, reason: str) -> None:
        """Tell it."""
        self._tell("worker_not_replaced", version, reason)

    def engine_faults(self, version: ModelVersion, faults: Mapping[str, int]) -> None:
        """Tell it."""
        self._tell("engine_faults", version, faults)

    def promotion_began(self, version: ModelVersion, trigger: Trigger) -> None:
        """Tell it."""
        self._tell("promotion_began", version, trigger)

    def state_entered(self, version: ModelVersion, state: State, reason: str) -> None:
        """Tell it."""
        self._tell("state_entered", version, state, reason)

    def version_stored(self, stored: StoredVersion, duration_s: float) -> None:
        """Tell it."""
        self._tell("version_stored", stored, duration_s)

    def step_ended(self, version: ModelVersion, step: str, duration_s: float) -> None:
        """Tell it."""
        self._tell("step_ended", version, step, duration_s)

    def gate_ended(self, version: ModelVersion, verdict: Verdict) -> None:
        """Tell it."""
        self._tell("gate_ended", version, verdict)

    def serving_changed(self, version: ModelVersion | None, previous: ModelVersion | None) -> None:
        """Tell it."""
        self._tell("serving_changed", version, previous)

    def promotion_ended(
        self, version: ModelVersion, outcome: PromotionOutcome, reason: str
    ) -> None:
        """Tell it."""
        self._tell("promotion_ended", version, outcome, reason)


def _listeners(
    observers: Sequence[Observer], event: str
) -> tuple[tuple[Observer, Callable[..., None]], ...]:
    """Return those observers that do anything with an event, each with its method for it."""
    nothing = getattr(NullObserver, event)
    return tuple(
        (observer, getattr(observer, event))
        for observer in observers
        if getattr(type(observer), event, None) is not nothing
    )
