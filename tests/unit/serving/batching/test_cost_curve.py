"""What runs take by their size, learnt from runs."""

import math

import pytest

from service.serving.batching.cost_curve import CostCurve


def of(*runs: tuple[int, float], at_s: float = 0.0) -> CostCurve:
    """Return what is known after these runs."""
    curve = CostCurve()
    for size, took_s in runs:
        curve.note(size, took_s, at_s)
    return curve


def test_nothing_known_foretells_nothing() -> None:
    """No time, and no bound."""
    assert not of()
    assert of().predict_s(100) == 0
    assert of().size_within(1.0) == math.inf


def test_between_two_sizes_there_is_a_line() -> None:
    """Below the smallest a run takes as long as that; beyond the largest, in proportion to it."""
    curve = of((10, 1.0), (110, 2.0))
    assert [curve.predict_s(size) for size in (1, 10, 60, 110, 1100)] == pytest.approx(
        [1.0, 1.0, 1.5, 2.0, 20.0]
    )


@pytest.mark.parametrize("budget_s", [0.5, 1.0, 1.5, 2.0, 20.0])
def test_what_is_within_a_time_takes_that_long(budget_s: float) -> None:
    """Nothing is where even the smallest takes longer."""
    curve = of((10, 1.0), (110, 2.0))
    size = curve.size_within(budget_s)
    assert size == 0 if budget_s < 1.0 else curve.predict_s(size) == pytest.approx(budget_s)


def test_a_slow_spell_is_forgotten() -> None:
    """A dozen usual runs later it counts for little, half a minute later for nothing."""
    curve = of((1, 5.0))
    for _ in range(12):
        curve.note(1, 0.1, 1.0)
    assert curve.predict_s(1) < 0.3
    curve = of((1, 5.0), (100, 9.0))
    curve.note(1, 0.1, 31.0)
    assert curve.predict_s(1) == pytest.approx(0.1)
    assert curve.predict_s(100) == pytest.approx(10.0)


def test_a_run_that_took_no_time_bounds_nothing() -> None:
    """A clock may be too coarse to see it."""
    assert of((1, 0.0)).size_within(1.0) == math.inf
