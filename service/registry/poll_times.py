"""When pointers are looked at: all those of one process together."""

import random
from collections.abc import Callable

_PERIOD_S = 86_400.0
_TOO_SOON_S = 0.001
"""A look that is due within this time is the one that has just begun."""


class PollTimes:
    """The moments at which pointers of this process are looked at.

    Deployments of one interval share their moments, so that a registry can be asked for all of them
    together; those of longer ones share some. Services that start together share none.
    """

    def __init__(self, offset_s: float | None = None) -> None:
        """Choose a moment at random, or begin at `offset_s` of the monotonic clock."""
        self._offset_s = random.uniform(0, _PERIOD_S) if offset_s is None else offset_s  # noqa: S311

    def delay_s(self, now_s: float, interval_s: float, apart_s: float = 0.0) -> float:
        """Return the time until the next of these moments; `apart_s` later than others have it."""
        delay_s = interval_s - (now_s - self._offset_s - apart_s) % interval_s
        return delay_s if delay_s > _TOO_SOON_S else delay_s + interval_s


class Polls:
    """When one deployment looks: together with the others, or apart where that gains nothing."""

    def __init__(
        self,
        times: PollTimes,
        interval_s: float,
        looks_singly: Callable[[], bool] = lambda: False,
    ) -> None:
        self.interval_s = interval_s
        self._times = times
        self._looks_singly = looks_singly
        # Spreads single looks over the interval.
        self._apart_s = random.uniform(0, interval_s)  # noqa: S311

    def delay_s(self, now_s: float) -> float:
        """Return the time until the next look, never more than the interval by much."""
        apart_s = self._apart_s if self._looks_singly() else 0.0
        return self._times.delay_s(now_s, self.interval_s, apart_s)
