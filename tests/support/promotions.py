"""Promotions of a model that is nowhere, minute by minute."""

from datetime import UTC, datetime, timedelta

from service.core.events import Promotion, Trigger
from tests.support.fake_source import a_version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_promotion(number: int, minute: int = 0) -> Promotion:
    """Return a promotion that was noticed at that minute."""
    return Promotion(a_version(number), Trigger.POLL, NOON + timedelta(minutes=minute))
