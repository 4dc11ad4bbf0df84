"""What a worker's handle makes of what the worker has counted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from service.predictors.report import Report
from service.workers.handle import OTHER_ENGINE, WorkerHandle

REPORT = Report((), {1: "trees", 512: "pyfunc"}, "direct", (), 2048, 1e-12, 1, 0.5)


class CountingChild:
    """A child that only counts."""

    on_counts: Callable[[Mapping[str, int]], None]


def told(report: Report | None, counts: dict[str, int]) -> list[dict[str, int]]:
    """Have a worker with this report count, and return what its pool is told."""
    child: Any = CountingChild()
    seen: list[dict[str, int]] = []
    WorkerHandle(
        child, Path("nowhere"), report=report, on_faults=lambda faults: seen.append(dict(faults))
    )
    child.on_counts(counts)
    return seen


def test_faults_are_told_by_the_engines_that_the_worker_has() -> None:
    """Any other name is one: a model's code may send as many as it likes."""
    counts = {"trees": 2, "made up": 3, "made up, too": 4}
    assert told(REPORT, counts) == [{"trees": 2, OTHER_ENGINE: 7}]
    assert told(None, {"trees": 2}) == [{OTHER_ENGINE: 2}]
