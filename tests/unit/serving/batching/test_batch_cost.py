"""From how many rows on a batch is large enough, learnt from runs."""

import math

import pytest

from service.serving.batching.batch_cost import WAY_S, BatchCost


def seen(*runs: tuple[int, float], at_s: float = 0.0) -> BatchCost:
    """Return what is known after runs of so many rows that took so long, three of each."""
    cost = BatchCost()
    for rows, took_s in runs * 3:
        cost.note_rows(rows, took_s, at_s)
    return cost


def test_before_sizes_differ_nothing_is_enough() -> None:
    """One point makes no line."""
    assert seen().enough_rows == math.inf
    assert seen((8, 0.01), (8, 0.02)).enough_rows == math.inf


def test_enough_is_where_the_fixed_part_is_a_fifth() -> None:
    """A fixed millisecond with its way, and ten microseconds a row: four fifths are 440 rows."""
    cost = seen((1, 0.00101), (100, 0.002))
    assert cost.enough_rows == pytest.approx((0.001 + WAY_S) * 4 / 1e-5)


def test_a_model_whose_calls_cost_the_same_takes_all_that_come() -> None:
    """Or one that noise makes look cheaper for more rows."""
    assert seen((1, 0.005), (64, 0.005)).enough_rows == math.inf
    assert seen((1, 0.005), (64, 0.004)).enough_rows == math.inf


def test_one_slow_run_is_no_evidence() -> None:
    """Neither the only one of its size nor one among others of it."""
    cost = seen((1, 0.00101), (100, 0.002))
    known = cost.enough_rows
    cost.note_rows(700, 0.5, 0.0)
    cost.note_rows(100, 0.5, 0.0)
    assert cost.enough_rows == pytest.approx(known, rel=0.1)


def test_a_model_that_became_slower_is_believed_in_time() -> None:
    """The fastest run is forgotten little by little."""
    cost = seen((1, 0.001), (100, 0.002))
    for _ in range(100):
        cost.note_rows(100, 0.004, 0.0)
    assert cost.enough_rows == pytest.approx(4 * (0.001 + WAY_S) / (0.003 / 99), rel=0.1)


def test_runs_of_long_ago_are_no_evidence() -> None:
    """Another predictor may answer since."""
    cost = seen((1, 0.005), (64, 0.006))
    for _ in range(3):
        cost.note_rows(512, 0.001, 60.0)
    assert cost.enough_rows == math.inf
    for _ in range(3):
        cost.note_rows(1, 0.0001, 61.0)
    fixed_s = 0.0001 - 0.0009 / 511
    assert cost.enough_rows == pytest.approx((WAY_S + fixed_s) * 4 / (0.0009 / 511), rel=0.1)


def test_a_typical_run_follows_slowly() -> None:
    """One slow run is not typical yet."""
    cost = BatchCost()
    cost.note(0.001)
    cost.note(0.009)
    assert cost.typical_s == pytest.approx(0.002)
