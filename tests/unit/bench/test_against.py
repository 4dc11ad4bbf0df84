from pathlib import Path

import pytest

from bench import against
from bench.contenders import Contender
from bench.loads import SINGLE
from bench.results import Cell, Results


def run_of(now: tuple[float, ...], before: tuple[float, ...]) -> Results:
    """Return a run in which both answered so many single-row requests a second."""
    run = Results.begun()
    run.cells = [
        Cell(key, "1x64", number, 1_000, rate, 1.0, 2.0, 3.0, 0, 0.1)
        for key, rates in (("now", now), ("before", before))
        for number, rate in enumerate(rates, 1)
    ]
    return run


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Contender, Contender]:
    """Return this tree and its own last commit."""
    return against.pair("HEAD", tmp_path / "before")


def row(run: Results, pair: tuple[Contender, Contender]) -> str:
    """Return what is told of 64 clients."""
    return next(line for line in against.table_of(run, *pair).splitlines() if "64 clients" in line)


def test_a_ratio_is_one_of_a_round(pair: tuple[Contender, Contender]) -> None:
    """A slow round was slow for both; the medians of the two would say 0.5."""
    run = run_of(now=(1_000.0, 100.0, 98.0), before=(2_000.0, 100.0, 100.0))
    rounds = against.ratios(run, SINGLE[2], *pair, lambda cell: cell.rate)
    assert rounds == [0.5, 1.0, 0.98]
    assert "| 0.98 (0.50 to 1.00) |" in row(run, pair)
    assert row(run, pair).endswith("| yes |")


def test_a_median_below_the_bound_is_told(
    pair: tuple[Contender, Contender],
) -> None:
    """Even if single rounds are above it."""
    assert row(run_of((96.0, 96.0, 120.0), (100.0,) * 3), pair).endswith("| no |")


def test_a_round_that_one_of_them_missed_does_not_count(
    pair: tuple[Contender, Contender],
) -> None:
    """Nor is a load told as reached that was not measured."""
    assert against.ratios(run_of((1.0, 1.0), (1.0,)), SINGLE[2], *pair, lambda c: c.rate) == [1.0]
    assert "not measured" in row(run_of((1.0,), ()), pair)


def test_the_other_revision_runs_from_files_of_its_own(
    pair: tuple[Contender, Contender],
) -> None:
    """It finds its own package before the one that is installed."""
    now, before = pair
    assert "PYTHONPATH" not in now.environ
    assert (Path(before.environ["PYTHONPATH"]) / "service" / "app.py").is_file()


def test_a_revision_that_is_none_is_told_in_the_words_of_git(tmp_path: Path) -> None:
    """And nothing is measured."""
    with pytest.raises(against.NoRevisionError, match="no-such"):
        against.pair("no-such", tmp_path)
