"""Write a promotion into the journal as it goes on, and tell of it."""

from datetime import UTC, datetime

import msgspec

from service.control.journal import Journal
from service.core.environments import BuildOutcome, BuildReport
from service.core.events import Promotion, PromotionOutcome
from service.core.text import presentable
from service.core.verdicts import Verdict
from service.core.versions import StoredVersion
from service.telemetry.observer import NULL_OBSERVER, Observer

_GATES = "gates"
"""The step to which the time of all gates is added up."""
_BUILD = "build"


class PromotionRecorder:
    """One promotion as it is written into the journal and told to the observer, step by step."""

    def __init__(
        self, promotion: Promotion, journal: Journal, observer: Observer = NULL_OBSERVER
    ) -> None:
        self._promotion = promotion
        self._journal = journal
        self._observer = observer
        journal.record(promotion)
        observer.promotion_began(promotion.version, promotion.trigger)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts so far."""
        return self._promotion.verdicts

    def stored(self, stored: StoredVersion, seconds: float) -> None:
        """Record that its files are in the store, and how long that took."""
        self.took("fetch", seconds)
        self._observer.version_stored(stored, seconds)

    def took(self, step: str, seconds: float) -> None:
        """Record the seconds that a step took."""
        self._add(step, seconds)
        self._observer.step_ended(self._promotion.version, step, seconds)

    def settled(self, seconds: float) -> None:
        """Tell how long it was watched once it served, which is no part of the promotion."""
        self._observer.step_ended(self._promotion.version, "settle", seconds)

    def judged(self, verdict: Verdict) -> None:
        """Record a gate's verdict, and the time that it took."""
        self._add(_GATES, verdict.duration_s)
        self.found(verdict)

    def loaded(self, verdict: Verdict) -> None:
        """Record what came of the load: a verdict, too, and a step of its own."""
        self._add(verdict.gate, verdict.duration_s)
        self.found(verdict)
        self._observer.step_ended(self._promotion.version, verdict.gate, verdict.duration_s)

    def found(self, verdict: Verdict) -> None:
        """Record a verdict whose time is recorded otherwise."""
        verdicts = (*self._promotion.verdicts, verdict)
        self._note(msgspec.structs.replace(self._promotion, verdicts=verdicts))
        self._observer.gate_ended(self._promotion.version, verdict)

    def prepared(self, outcome: BuildOutcome, report: BuildReport, seconds: float) -> None:
        """Record what came of looking for its environment; the report is empty where it has none.

        The time goes to a step of its own, and to no gate.
        """
        if outcome is not BuildOutcome.SHARED:
            if report != BuildReport():
                self._note(msgspec.structs.replace(self._promotion, environment=report))
            self.took(_BUILD, seconds)
        self._observer.environment_ended(self._promotion.version, outcome, report, seconds)

    def end(self, outcome: PromotionOutcome, reason: str) -> None:
        """Record what came of it; may be called again, for a version that is rolled back."""
        reason = presentable(reason)
        ended = msgspec.structs.replace(
            self._promotion, outcome=outcome, reason=reason, ended_at=datetime.now(UTC)
        )
        self._note(ended)
        self._observer.promotion_ended(self._promotion.version, outcome, reason)

    def _add(self, step: str, seconds: float) -> None:
        durations_s = dict(self._promotion.durations_s)
        durations_s[step] = round(durations_s.get(step, 0.0) + seconds, 6)
        self._note(msgspec.structs.replace(self._promotion, durations_s=durations_s))

    def _note(self, promotion: Promotion) -> None:
        self._promotion = promotion
        self._journal.record(promotion)
