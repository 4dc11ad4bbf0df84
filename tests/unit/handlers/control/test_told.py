from datetime import UTC, datetime

import msgspec

from service.core.events import Promotion, PromotionOutcome, Trigger
from service.handlers.control.journal import told
from tests.support.fake_source import a_version

PROMOTION = Promotion(
    a_version(1), Trigger.POLL, datetime(2026, 1, 1, tzinfo=UTC), PromotionOutcome.SERVING
)


def test_what_came_of_a_promotion_is_shown_under_its_old_name_too() -> None:
    """Programs read `ending`."""
    shown = msgspec.json.decode(msgspec.json.encode(told(PROMOTION)))
    assert (shown["outcome"], shown["ending"]) == ("serving", "serving")


def test_the_journal_calls_it_what_it_always_has() -> None:
    """An earlier service on the same CACHE_DIR reads what this one writes, and the reverse."""
    line = msgspec.json.encode(PROMOTION)
    assert msgspec.json.decode(line)["ending"] == "serving"
    assert msgspec.json.decode(line, type=Promotion) == PROMOTION
