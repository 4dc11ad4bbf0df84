"""How many requests the next batch waits for: callers answered together tend to come back so."""

import asyncio
import math
from collections.abc import Callable

_WEIGHT = 1 / 8
"""The larger this is, the more the newest batch counts in the average."""
_MOST = 3 / 4
"""Callers are waited for where at least this share of them comes back in time."""


def _nothing() -> None:
    """Call nothing."""


class BatchDelay:
    """Learns what share of the callers of a batch come back in time, and waits if it is most.

    It waits for them beside those that wait already. Those could go immediately; but if callers
    are in two halves each of which waits for the other's run, then they stay so, and each run costs
    nearly what one for all of them would. Where callers come as they like, a part of a run brings a
    part of a batch, and none is waited for.
    """

    def __init__(self, on_end: Callable[[], None] = _nothing) -> None:
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        """When the next batch has waited for long enough."""
        self.until_s = -math.inf
        """Until this time of the event loop the next batch may wait."""
        self._expected = 1
        self._returning = 1.0
        """The share that comes back in time, an average; at first it has to be tried."""
        self._answered = 0
        self._came = 0

    def expected(self, now_s: float) -> int:
        """Return with how many requests the next batch goes immediately."""
        return self._expected if now_s < self.until_s else 1

    def note_arrival(self, now_s: float) -> None:
        """Count a request that came."""
        if now_s < self.until_s:
            self._came += 1

    def note_answered(self, requests: int, waiting: int, now_s: float, in_time_s: float) -> None:
        """Count a batch that was answered while so many waited; `in_time_s` from now is in time."""
        if self._answered:
            share = min(1.0, self._came / self._answered)
            self._returning += (share - self._returning) * _WEIGHT
        self._answered, self._came = requests, 0
        self._expected = requests + waiting if self._returning >= _MOST else 1
        self.until_s = now_s + in_time_s

    def is_over(self, requests: int) -> bool:
        """Tell whether so many requests need not wait for others.

        Where they do, `on_end` is called when their time to wait is over, unless `stop` is.
        """
        loop = asyncio.get_running_loop()
        if requests >= self.expected(loop.time()):
            return True
        if self._timer is None:
            self._timer = loop.call_at(self.until_s, self._end_wait)
        return False

    def stop(self) -> None:
        """Call `on_end` no more: the requests that waited have gone to a worker."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_wait(self) -> None:
        self.stop()
        self.end()
        self._on_end()

    def end(self) -> None:
        """Wait for none any more, until the next batch is answered."""
        self.until_s = -math.inf
