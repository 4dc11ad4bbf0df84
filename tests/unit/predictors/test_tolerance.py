"""Which answers are the same: floats within a tolerance, all else exactly."""

from typing import Any

import numpy as np
import pytest

from service.contracts.contract import Predictions
from service.predictors.tolerance import Difference, difference, rounding_difference


def answer(values: Any, dtype: str = "float64", name: str = "y") -> Predictions:
    """Return an answer of one column, a list where there is no dtype."""
    column = np.array(values, dtype).tobytes() if dtype else values
    return Predictions(len(values), [name], [column], [dtype], [[]], [])


@pytest.mark.parametrize(
    ("ours", "theirs", "dtype"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-13], "float64"),
        ([1e-9, 1e6], [1.1e-9, 1e6], "float64"),  # within a share of the column's scale
        ([np.nan, np.inf], [np.nan, np.inf], "float64"),
        ([1, 2], [1, 2], "int64"),
        (["a", None], ["a", None], ""),
    ],
)
def test_the_same(ours: Any, theirs: Any, dtype: str) -> None:
    """There is no difference."""
    assert difference(answer(ours, dtype), answer(theirs, dtype), 1e-12) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "dtype"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-11], "float64"),
        ([1.0, np.nan], [1.0, 2.0], "float64"),
        ([1.0, 2.0], [1.0, np.inf], "float64"),
        ([1.0, np.inf], [1.0, 2.0], "float64"),
        ([1.0, -np.inf], [1.0, np.inf], "float64"),
        ([1, 2**62], [1, 2**62 + 1], "int64"),
        (["a", "b"], ["a", "B"], ""),
        ([True, 1], [True, True], ""),
    ],
)
def test_another_answer(ours: Any, theirs: Any, dtype: str) -> None:
    """The row that differs is named."""
    found = difference(answer(ours, dtype), answer(theirs, dtype), 1e-12)
    assert found is not None
    assert found.row == 1


def test_another_form_is_another_answer() -> None:
    """Names, types and the number of rows count."""
    ours = answer([1.0])
    for theirs in (answer([1.0], name="z"), answer([1.0], "float32"), answer([1.0, 2.0])):
        found = difference(ours, theirs, 1e-12)
        assert isinstance(found, Difference)
        assert found.row == -1


@pytest.mark.parametrize(
    ("together", "apart", "types"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-10], ("float64", "float64")),
        ([1.0, 2.0], [1.0, 2.0001], ("float32", "float64")),
        ([1, 2], [1.0, 2.0], ("int64", "float64")),
        ([1, 2], [1.0, 2.0], ("", "float64")),
        ([[1.0, None]], [[1.0 + 1e-10, None]], ("", "")),
        ([{"a": np.nan}], [{"a": np.nan}], ("", "")),
        (["2024-01-01", "NaT"], ["2024-01-01", "NaT"], ("M8[us]", "M8[ns]")),
        ([np.inf, np.nan], [np.inf, np.nan], ("float64", "float64")),
    ],
)
def test_rows_alone_may_be_rounded_otherwise(
    together: Any, apart: Any, types: tuple[str, str]
) -> None:
    """Sums in another order differ in the last digits, and a type may go by the batch."""
    assert not rounding_difference(
        answer(together, types[0]), range(len(together)), answer(apart, types[1])
    )


@pytest.mark.parametrize(
    ("together", "apart", "types"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-7], ("float64", "float64")),
        ([1.0, 2.0], [1.0, 2.01], ("float32", "float32")),
        ([1, 2], [1, 3], ("int64", "int64")),
        ([1.0, np.inf], [1.0, 2.0], ("float64", "float64")),
        ([[1.0], [2.0]], [[1.0], [2.0, 3.0]], ("", "")),
        ([1.0, None], [1.0, 0.0], ("", "float64")),
        (["a", "b"], ["a", "c"], ("", "")),
        (["2024-01-01"] * 2, ["2024-01-01", "NaT"], ("M8[us]", "M8[us]")),
        ([1.0, 2.0], ["2024-01-01"] * 2, ("float64", "M8[us]")),
    ],
)
def test_a_row_alone_that_is_answered_otherwise_is_told(
    together: Any, apart: Any, types: tuple[str, str]
) -> None:
    """The row is named by its place among the others."""
    found = rounding_difference(
        answer(together, types[0]), range(len(together)), answer(apart, types[1])
    )
    assert found.startswith(("y of row 1 is", "y of row 0 is 1.0 and datetime"))
