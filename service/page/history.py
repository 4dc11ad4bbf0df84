"""What a model's charts show: points in time, made of the counts for its metrics."""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, zip_longest

import msgspec

from service.telemetry.metrics.counts import ModelCounts, VersionCounts
from service.telemetry.metrics.families import SECONDS
from service.telemetry.metrics.outcomes import FAILED, GONE, INTERNAL, INVALID, REFUSED

KEPT_COARSE = 360
"""At most this many points of ten seconds are kept: an hour."""
KEPT_FINE = 300
"""At most this many points of a second are kept while somebody looks: five minutes."""
_BUCKETS = len(SECONDS) + 1
_LABELS = (INVALID, REFUSED, FAILED, INTERNAL, GONE)


class Point(msgspec.Struct, frozen=True, array_like=True):
    """What happened in `span_s` seconds before `at_s`, which is Unix time.

    Rates are a second's. A time or a batch's size is None where there was nothing to measure.
    """

    at_s: float
    span_s: float
    answered: float
    invalid: float
    refused: float
    failed: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    batch_rows: float | None
    queue_ms: float | None
    waiting: int


Sums = list[float]
"""What one version has counted so far, number by number; see `_sums`."""


class Counted(msgspec.Struct, frozen=True):
    """What a model's versions had counted at `at_s`, which `moment_s` says by a monotonic clock."""

    at_s: float
    moment_s: float
    by_version: Mapping[str, Sums]

    @classmethod
    def of(cls, counts: ModelCounts | None) -> "Counted":
        """Return what is counted now."""
        versions = {} if counts is None else counts.versions
        sums = {version: _sums(counted) for version, counted in versions.items()}
        return cls(time.time(), time.monotonic(), sums)

    def since(self, before: "Counted", waiting: int) -> Point:
        """Return what has happened since an earlier moment."""
        more = [0.0] * _LENGTH
        for version, sums in self.by_version.items():
            then = before.by_version.get(version, more[:0])
            grown = [now - past for now, past in zip_longest(sums, then, fillvalue=0.0)]
            # A version that was gone, and is counted anew, has less than before: that says nothing.
            if min(grown) >= 0:
                more = [one + other for one, other in zip(more, grown, strict=True)]
        span_s = max(self.moment_s - before.moment_s, 0.001)
        return _point(more, self.at_s, span_s, waiting)


class History:
    """The points of one model: coarse ones of the last hour, and fine ones while somebody looks."""

    def __init__(self) -> None:
        self._coarse: deque[Point] = deque(maxlen=KEPT_COARSE)
        self._fine: deque[Point] = deque(maxlen=KEPT_FINE)
        self._coarse_from: Counted | None = None
        self._fine_from: Counted | None = None

    def note(self, counted: Counted, waiting: int, *, fine: bool) -> None:
        """Add the point that ends now."""
        if fine:
            if self._fine_from is not None:
                self._fine.append(counted.since(self._fine_from, waiting))
            self._fine_from = counted
        else:
            if self._coarse_from is not None:
                self._coarse.append(counted.since(self._coarse_from, waiting))
            self._coarse_from = counted

    def rest(self) -> None:
        """Forget the fine points: nobody looks, and there would be a gap in them."""
        self._fine.clear()
        self._fine_from = None

    def points(self) -> list[Point]:
        """Return all points in the order of time, the fine ones where there are any."""
        if not self._fine:
            return list(self._coarse)
        begin = self._fine[0].at_s - self._fine[0].span_s
        return [*(one for one in self._coarse if one.at_s <= begin + 0.5), *self._fine]

    @property
    def last_coarse(self) -> Point | None:
        """The newest point of ten seconds; None before the first one."""
        return self._coarse[-1] if self._coarse else None

    def after(self, at_s: float) -> list[Point]:
        """Return the fine points since then."""
        found: list[Point] = []
        for point in reversed(self._fine):
            if point.at_s <= at_s:
                break
            found.append(point)
        return found[::-1]


def _sums(counted: VersionCounts) -> Sums:
    """Return numbers that only grow: requests by duration, by outcome, and batches."""
    durations: Iterable[float] = map(
        sum, zip(*(one.counts for one in counted.durations), strict=True)
    )
    outcomes = [float(sum(one[label] for one in counted.outcomes)) for label in _LABELS]
    rows = counted.batch_rows
    return [
        *durations,
        *outcomes,
        rows.sum,
        float(sum(rows.counts)),
        counted.queue.sum,
        float(sum(counted.queue.counts)),
    ]


_LENGTH = _BUCKETS + len(_LABELS) + 4


def _point(more: Sums, at_s: float, span_s: float, waiting: int) -> Point:
    buckets = more[:_BUCKETS]
    invalid, refused, failed, internal, _ = more[_BUCKETS : _BUCKETS + len(_LABELS)]
    rows, batches, queued_s, queued = more[-4:]
    return Point(
        at_s=round(at_s, 3),
        span_s=round(span_s, 3),
        answered=round(sum(buckets) / span_s, 3),
        invalid=round(invalid / span_s, 3),
        refused=round(refused / span_s, 3),
        failed=round((failed + internal) / span_s, 3),
        p50_ms=quantile_ms(buckets, 0.5),
        p95_ms=quantile_ms(buckets, 0.95),
        p99_ms=quantile_ms(buckets, 0.99),
        batch_rows=round(rows / batches, 2) if batches else None,
        queue_ms=round(queued_s / queued * 1000, 3) if queued else None,
        waiting=waiting,
    )


def quantile_ms(buckets: Sequence[float], share: float) -> float | None:
    """Estimate a quantile, as Prometheus does: evenly spread within a bucket; None of nothing.

    Of what is beyond the last bound, that bound is said.
    """
    wanted = sum(buckets) * share
    if not wanted:
        return None
    below = 0.0
    for (low, high), count in zip(pairwise((0.0, *SECONDS)), buckets, strict=False):
        if count and below + count >= wanted:
            return round((low + (high - low) * (wanted - below) / count) * 1000, 3)
        below += count
    return SECONDS[-1] * 1000
