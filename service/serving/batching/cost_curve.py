"""How long a run takes by its size, in rows or in bytes, as the last runs have it."""

import math

import msgspec

_WEIGHT = 1 / 4
"""The larger this is, the sooner a slow spell is forgotten."""
_FRESH_S = 30.0
"""A run counts for this long: the machine may be less busy since, or another predictor answer."""


class _Point(msgspec.Struct):
    """Runs of about one size: their size and time on average, and when the last one was."""

    size: float
    took_s: float
    at_s: float


class CostCurve:
    """Learns from runs, and estimates others: a line from each size that is known to the next."""

    def __init__(self) -> None:
        self._by_size: dict[int, _Point] = {}
        self._points: list[_Point] = []
        """The same, the smallest first."""
        self._swept_s = -math.inf

    def __len__(self) -> int:
        """How many sizes are known."""
        return len(self._points)

    @property
    def largest(self) -> _Point:
        """The largest size that is known. Only where anything is."""
        return self._points[-1]

    @property
    def fixed_s(self) -> float:
        """What a run takes whatever its size; 0 where fewer than two sizes are known."""
        if len(self._points) < 2:  # noqa: PLR2004 - points make a line
            return 0.0
        small, large = self._points[0], self._points[-1]
        each_s = max(0.0, (large.took_s - small.took_s) / (large.size - small.size))
        return max(0.0, small.took_s - each_s * small.size)

    def note(self, size: int, took_s: float, now_s: float) -> None:
        """Learn from a run that ended at this time of the event loop."""
        key = size.bit_length()
        point = self._by_size.get(key)
        if point is None or point.at_s < now_s - _FRESH_S:
            self._by_size[key] = _Point(size, took_s, now_s)
            self._sort()
        else:
            point.size += (size - point.size) * _WEIGHT
            point.took_s += (took_s - point.took_s) * _WEIGHT
            point.at_s = now_s
        if now_s - self._swept_s > _FRESH_S:
            self._sweep(now_s)

    def predict_s(self, size: float) -> float:
        """Return what a run of this size will take; 0 where nothing is known.

        Beyond what is known it goes on in proportion, as if nothing in a run's time were fixed.
        """
        below: _Point | None = None
        for point in self._points:
            if size <= point.size:
                if below is None or point.size <= below.size:
                    return point.took_s
                share = (size - below.size) / (point.size - below.size)
                return below.took_s + (point.took_s - below.took_s) * share
            below = point
        return 0.0 if below is None else below.took_s * size / max(1.0, below.size)

    def size_within(self, budget_s: float) -> float:
        """Return the largest size whose run will take no longer; 0 where even the smallest will.

        Infinity where nothing is known, or what is known took no time.
        """
        above: _Point | None = None
        for point in reversed(self._points):
            if point.took_s <= budget_s:
                if above is None:
                    return point.size * budget_s / point.took_s if point.took_s else math.inf
                share = (budget_s - point.took_s) / (above.took_s - point.took_s)
                return point.size + (above.size - point.size) * share
            above = point
        return math.inf if above is None else 0.0

    def _sort(self) -> None:
        self._points = sorted(self._by_size.values(), key=lambda point: point.size)

    def _sweep(self, now_s: float) -> None:
        """Forget sizes of which no run was of late."""
        self._swept_s = now_s
        for key in [k for k, point in self._by_size.items() if point.at_s < now_s - _FRESH_S]:
            del self._by_size[key]
        self._sort()
