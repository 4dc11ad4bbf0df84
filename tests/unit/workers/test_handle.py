"""What a worker's handle makes of what the worker has counted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.predictors.engine_counts import FALLBACKS, FAULTS
from service.predictors.report import Report
from service.processes.protocol import Counts
from service.workers.handle import OTHER_ENGINE, WorkerHandle

REPORT = Report((), {1: "trees", 512: "pyfunc"}, "direct", (), 2048, 1e-12, 1, 0.5)


class CountingChild:
    """A child that only counts."""

    on_counts: Callable[[Counts], None]


def told(report: Report | None, counts: Counts) -> list[tuple[str, dict[str, int]]]:
    """Have a worker with this report count, and return what its pool is told."""
    child: Any = CountingChild()
    seen: list[tuple[str, dict[str, int]]] = []

    def note(kind: str, counts: Mapping[str, int]) -> None:
        seen.append((kind, dict(counts)))

    WorkerHandle(child, Path("nowhere"), report=report, on_counts=note)
    child.on_counts(counts)
    return seen


@pytest.mark.parametrize("kind", [FAULTS, FALLBACKS])
def test_counts_are_told_by_the_engines_that_the_worker_has(kind: str) -> None:
    """Any other name is one: a model's code may send as many as it likes."""
    counts = {"trees": 2, "made up": 3, "made up, too": 4}
    assert told(REPORT, {kind: counts}) == [(kind, {"trees": 2, OTHER_ENGINE: 7})]
    assert told(None, {kind: {"trees": 2}}) == [(kind, {OTHER_ENGINE: 2})]


def test_counts_of_an_unknown_kind_are_dropped() -> None:
    """Nobody asked for them."""
    both = {FALLBACKS: {"trees": 1}, FAULTS: {"trees": 2}, "made up": {"trees": 3}}
    assert told(REPORT, both) == [(FAULTS, {"trees": 2}), (FALLBACKS, {"trees": 1})]
