"""Every promotion that was noticed, and what came of it."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from service.core.events import Promotion

KEPT_PROMOTIONS = 200


class JournalReader(Protocol):
    """Where promotions are read that were written down."""

    def last(self, count: int) -> list[Promotion]:
        """Return the newest promotions, the newest first."""
        ...

    @property
    def trouble(self) -> str:
        """Why it may not outlast this process, '' where nothing is wrong."""
        ...


@runtime_checkable
class Journal(JournalReader, Protocol):
    """Where promotions are written down and read back."""

    def record(self, promotion: Promotion) -> None:
        """Write down a promotion, or what became of one that is written down already.

        One promotion is known by its version and the time it was noticed.
        """
        ...


class MemoryJournal:
    """A journal that lasts as long as the process, bounded."""

    def __init__(self) -> None:
        self._promotions: deque[Promotion] = deque(maxlen=KEPT_PROMOTIONS)
        self.trouble = ""

    def record(self, promotion: Promotion) -> None:
        """Write down a promotion, or what became of it."""
        for index, written in enumerate(self._promotions):
            if (written.version, written.noticed_at) == (promotion.version, promotion.noticed_at):
                self._promotions[index] = promotion
                return
        self._promotions.append(promotion)

    def recall(self, older: Sequence[Promotion]) -> None:
        """Put promotions before all others, as far as there is room; the oldest first."""
        room = KEPT_PROMOTIONS - len(self._promotions)
        self._promotions.extendleft(older[::-1][:room])

    def last(self, count: int) -> list[Promotion]:
        """Return the newest promotions, the newest first."""
        return list(self._promotions)[::-1][:count]
