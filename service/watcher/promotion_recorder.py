"""Write a promotion into the journal as it goes on."""

from datetime import UTC, datetime

import msgspec

from service.control.journal import Journal
from service.core.events import Promotion, PromotionOutcome
from service.core.text import presentable
from service.core.verdicts import Verdict


class PromotionRecorder:
    """One promotion as it is written into the journal, step by step."""

    def __init__(self, promotion: Promotion, journal: Journal) -> None:
        self._promotion = promotion
        self._journal = journal
        journal.record(promotion)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What the gates found so far."""
        return self._promotion.verdicts

    def duration(self, step: str) -> float:
        """Return the seconds that a step has taken so far."""
        return self._promotion.durations_s.get(step, 0.0)

    def took(self, step: str, seconds: float) -> None:
        """Record the seconds that a step took."""
        durations_s = {**self._promotion.durations_s, step: round(seconds, 6)}
        self._note(msgspec.structs.replace(self._promotion, durations_s=durations_s))

    def judged(self, verdict: Verdict) -> None:
        """Record one more verdict."""
        verdicts = (*self._promotion.verdicts, verdict)
        self._note(msgspec.structs.replace(self._promotion, verdicts=verdicts))

    def end(self, outcome: PromotionOutcome, reason: str) -> None:
        """Record what came of it; may be called again, for a version that is rolled back."""
        ended = msgspec.structs.replace(
            self._promotion, outcome=outcome, reason=presentable(reason), ended_at=datetime.now(UTC)
        )
        self._note(ended)

    def _note(self, promotion: Promotion) -> None:
        self._promotion = promotion
        self._journal.record(promotion)
