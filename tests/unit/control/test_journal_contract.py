"""What any journal does: the one in memory, and the one on disk."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from service.control.journal import KEPT_PROMOTIONS, Journal, MemoryJournal
from service.control.sqlite_journal import SqliteJournal
from service.core.events import PromotionOutcome
from tests.support.promotions import a_promotion

Opening = Callable[[], AbstractAsyncContextManager[Journal]]


@pytest.fixture(params=["memory", "sqlite"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Give what opens each of them, empty."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Journal]:
        if request.param == "memory":
            yield MemoryJournal()
            return
        journal = SqliteJournal(tmp_path / "journal.db", "models:/m@champion")
        async with journal.open():
            await journal.recalled.wait()
            yield journal

    return opened


async def test_it_is_a_journal(opening: Opening) -> None:
    """One may take the other's place."""
    async with opening() as journal:
        assert isinstance(journal, Journal)
        assert journal.last(9) == []


async def test_the_newest_promotions_come_first(opening: Opening) -> None:
    """As many as are asked for."""
    async with opening() as journal:
        for minute in range(5):
            journal.record(a_promotion(1, minute))
        assert journal.last(2) == [a_promotion(1, 4), a_promotion(1, 3)]
        assert len(journal.last(99)) == 5
        assert journal.last(0) == []


async def test_what_became_of_a_promotion_is_written_in_its_place(opening: Opening) -> None:
    """The same version promoted at another time is another promotion, and so is another version."""
    async with opening() as journal:
        first, again, other = a_promotion(1, 0), a_promotion(1, 1), a_promotion(2, 1)
        for promotion in (first, again, other):
            journal.record(promotion)
        ended = msgspec.structs.replace(first, outcome=PromotionOutcome.REFUSED, reason="no")
        drained = msgspec.structs.replace(ended, durations_s={"drain": 0.25})
        journal.record(ended)
        journal.record(drained)
        assert journal.last(9) == [other, again, drained]


async def test_it_is_bounded(opening: Opening) -> None:
    """The oldest are forgotten."""
    async with opening() as journal:
        for minute in range(KEPT_PROMOTIONS + 5):
            journal.record(a_promotion(1, minute))
        kept = journal.last(10_000)
        assert len(kept) == KEPT_PROMOTIONS
        assert kept[-1] == a_promotion(1, 5)
