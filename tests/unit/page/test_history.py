"""Points of charts are what the counts of metrics have grown by."""

from collections.abc import Callable
from time import perf_counter

import pytest

from service.core.protocols import WireProtocol
from service.page.history import KEPT_COARSE, KEPT_FINE, Counted, History, quantile_ms
from service.telemetry.metrics.counts import ModelCounts, VersionCounts
from service.telemetry.metrics.families import SECONDS
from service.telemetry.metrics.outcomes import FAILED, INTERNAL, INVALID, REFUSED


def at(moment_s: float, counts: ModelCounts) -> Counted:
    """Return what is counted at a moment."""
    by_version = Counted.of(counts).by_version
    return Counted(at_s=1_000_000 + moment_s, moment_s=moment_s, by_version=by_version)


def model() -> tuple[ModelCounts, VersionCounts]:
    """Return the counts of a model with one version."""
    counts = ModelCounts()
    counts.versions["1"] = VersionCounts()
    return counts, counts.versions["1"]


def test_a_point_has_what_was_counted_since_the_one_before() -> None:
    """Rates by the second, whichever protocol requests came by."""
    counts, version = model()
    version.durations[WireProtocol.NATIVE].note(0.002)
    before = at(0, counts)
    for protocol in WireProtocol:
        for _ in range(5):
            version.durations[protocol].note(0.004)
    version.outcomes[WireProtocol.NATIVE].update({INVALID: 4, REFUSED: 6})
    version.outcomes[WireProtocol.MLFLOW].update({FAILED: 1, INTERNAL: 1})
    for rows in (10, 30):
        version.batch_rows.note(rows)
        version.queue.note(0.05)
    point = at(2, counts).since(before, waiting=7)
    assert (point.at_s, point.span_s, point.waiting) == (1_000_002, 2, 7)
    assert point.answered == 5 * len(WireProtocol) / 2
    assert (point.invalid, point.refused, point.failed) == (2, 3, 1)
    assert (point.batch_rows, point.queue_ms) == (20, 50)
    assert point.p50_ms is not None
    assert 2.5 < point.p50_ms < 5


def test_a_version_that_is_gone_or_counted_anew_adds_nothing_wrong() -> None:
    """No point has a negative number, and a new version's are all there."""
    counts, version = model()
    version.durations[0].note(0.1)
    before = at(0, counts)
    counts.versions["1"] = VersionCounts()
    counts.versions["2"] = VersionCounts()
    counts.versions["2"].durations[0].note(0.1)
    assert at(1, counts).since(before, 0).answered == 1
    assert at(2, ModelCounts()).since(before, 0).answered == 0


def test_nothing_measured_is_no_number() -> None:
    """A time or a size of nothing is not 0."""
    counts, _ = model()
    point = at(1, counts).since(at(0, counts), 0)
    assert (point.p50_ms, point.p99_ms, point.batch_rows, point.queue_ms) == (None,) * 4


def filled(*counts: tuple[float, int]) -> list[float]:
    """Return buckets with so many requests of these seconds."""
    version = VersionCounts()
    for seconds, count in counts:
        for _ in range(count):
            version.durations[0].note(seconds)
    return [float(count) for count in version.durations[0].counts]


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        (filled((0.0004, 4)), 0.5, 0.25),
        (filled((0.0007, 100)), 1.0, 1.0),
        (filled((0.0004, 99), (0.2, 1)), 0.99, 0.5),
        (filled((0.0004, 90), (0.2, 10)), 0.99, 235.0),
        (filled((3600.0, 3)), 0.5, SECONDS[-1] * 1000),
        (filled(), 0.5, None),
    ],
)
def test_a_quantile_is_that_of_its_bucket(
    buckets: list[float], share: float, expected: float | None
) -> None:
    """Spread evenly within it, as Prometheus has it."""
    assert quantile_ms(buckets, share) == (
        None if expected is None else pytest.approx(expected, rel=0.01)
    )


def test_a_history_is_bounded_and_in_order() -> None:
    """Coarse points of the past, then the fine ones; none twice."""
    counts, version = model()
    history = History()
    for second in range(0, 10 * (KEPT_COARSE + 20), 10):
        version.durations[0].note(0.001)
        history.note(at(second, counts), 0, fine=False)
    end = second
    for second in range(end, end + KEPT_FINE + 50):
        history.note(at(second, counts), 0, fine=True)
    points = history.points()
    assert len(points) <= KEPT_COARSE + KEPT_FINE
    times = [point.at_s for point in points]
    assert times == sorted(set(times))
    assert history.after(times[-3]) == points[-2:]
    history.rest()
    assert {point.span_s for point in history.points()} == {10}


def cost_of(work: Callable[[], object]) -> float:
    """Return the seconds that a piece of work takes, the least of a few."""
    took_s = []
    for _ in range(20):
        began_s = perf_counter()
        work()
        took_s.append(perf_counter() - began_s)
    return min(took_s)


def test_a_sample_costs_a_small_part_of_a_millisecond() -> None:
    """Of a model with three versions; it stands between requests."""
    counts, _ = model()
    for name in ("2", "3"):
        counts.versions[name] = VersionCounts()
    history = History()
    history.note(Counted.of(counts), 0, fine=True)
    assert cost_of(lambda: history.note(Counted.of(counts), 0, fine=True)) < 0.001
