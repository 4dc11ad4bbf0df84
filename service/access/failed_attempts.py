"""What becomes of calls with a key that nobody knows: they wait, and the log counts them."""

from time import monotonic

import anyio
import structlog

DELAY_S = 0.3
"""Seconds that a call with an unknown key waits for its answer."""
_MOST_DELAYED = 256
"""Further attempts are refused immediately: what waits holds a connection that others want."""
_TOLD_EVERY_S = 10.0

_log = structlog.get_logger("access")


class FailedAttempts:
    """Delays each attempt, as many of them together as take no room from callers with a key.

    Keys have 256 bits, which nobody guesses at any speed; an ADMIN_TOKEN may be shorter.
    """

    def __init__(self) -> None:
        self._delayed = 0
        self._untold = 0
        self._told_at_s = -_TOLD_EVERY_S

    async def delayed(self) -> None:
        """Count an attempt, and return after the delay."""
        self._tell()
        if self._delayed >= _MOST_DELAYED:
            return
        self._delayed += 1
        try:
            await anyio.sleep(DELAY_S)
        finally:
            self._delayed -= 1

    def _tell(self) -> None:
        """Log how many there were, at times: a line for each would be a flood of its own."""
        self._untold += 1
        now_s = monotonic()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            _log.warning("calls with an unknown key", attempts=self._untold)
            self._told_at_s, self._untold = now_s, 0
