from datetime import UTC, datetime, timedelta

import msgspec

from service.control.journal import KEPT_PROMOTIONS, Journal, MemoryJournal
from service.core.events import Promotion, PromotionOutcome, Trigger
from tests.support.fake_source import a_version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_promotion(number: int, minute: int = 0) -> Promotion:
    """Return a promotion that was noticed at that minute."""
    return Promotion(a_version(number), Trigger.POLL, NOON + timedelta(minutes=minute))


def test_a_memory_journal_is_a_journal() -> None:
    """Another one may take its place."""
    assert isinstance(MemoryJournal(), Journal)


def test_the_newest_promotions_come_first() -> None:
    """As many as are asked for."""
    journal = MemoryJournal()
    for minute in range(5):
        journal.record(a_promotion(1, minute))
    assert journal.last(2) == [a_promotion(1, 4), a_promotion(1, 3)]
    assert len(journal.last(99)) == 5
    assert journal.last(0) == []


def test_what_became_of_a_promotion_is_written_in_its_place() -> None:
    """The same version promoted at another time is another promotion."""
    journal = MemoryJournal()
    first, again = a_promotion(1, 0), a_promotion(1, 1)
    journal.record(first)
    journal.record(again)
    ended = msgspec.structs.replace(first, outcome=PromotionOutcome.REFUSED, reason="no")
    journal.record(ended)
    assert journal.last(9) == [again, ended]


def test_it_is_bounded() -> None:
    """The oldest are forgotten."""
    journal = MemoryJournal()
    for minute in range(KEPT_PROMOTIONS + 5):
        journal.record(a_promotion(1, minute))
    kept = journal.last(10_000)
    assert len(kept) == KEPT_PROMOTIONS
    assert kept[-1] == a_promotion(1, 5)
