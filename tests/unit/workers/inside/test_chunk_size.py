"""How many rows are taken at a time."""

import pytest

from service.workers.inside.chunk_size import ChunkSize


def settled(call_s: float, fixed_s: float, row_s: float) -> tuple[int, float]:
    """Return the rows, and what they take, that come out for a model of that cost."""
    pace = ChunkSize()
    pace.note_call(call_s)
    for _ in range(50):
        pace.note_rows(pace.rows, fixed_s + row_s * pace.rows)
    return pace.rows, fixed_s + row_s * pace.rows


@pytest.mark.parametrize("row_s", [1e-6, 1e-5, 1e-3])
def test_rows_of_a_fast_model_take_half_a_millisecond(row_s: float) -> None:
    """However long one takes, as long as that is less."""
    rows, took_s = settled(2e-5, 1e-5, row_s)
    assert took_s == pytest.approx(0.0005, rel=0.1) or rows == 1


def test_rows_of_a_model_whose_calls_are_slow_take_one_and_a_half() -> None:
    """Fewer would take hardly less, and all rows together far longer."""
    rows, took_s = settled(0.005, 0.005, 1e-5)
    assert took_s == pytest.approx(0.0075, rel=0.1)
    assert rows == pytest.approx(250, rel=0.1)


def test_no_number_is_worse_than_another_before_the_first_call() -> None:
    """What small calls take is not known yet."""
    pace = ChunkSize()
    first = pace.rows
    pace.note_rows(first, 10.0)
    assert pace.rows == first


def test_one_outlier_is_soon_made_up_for() -> None:
    """Rows at least halve and at most double at a time."""
    pace = ChunkSize()
    pace.note_call(2e-5)
    for _ in range(20):
        pace.note_rows(pace.rows, 1e-6 * pace.rows)
    usual = pace.rows
    pace.note_rows(usual, 30.0)
    assert pace.rows >= usual // 2
    pace.note_rows(pace.rows, 0.0)
    assert pace.rows >= usual // 2
    pace.note_rows(pace.rows, 1e-6 * pace.rows)
    assert pace.rows == pytest.approx(usual, rel=0.1)
