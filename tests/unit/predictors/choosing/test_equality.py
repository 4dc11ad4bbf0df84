"""Which answers are the same: floats within a tolerance, all else exactly."""

from typing import Any

import numpy as np
import pytest

from service.contracts.contract import Predictions
from service.predictors.choosing.equality import Difference, difference


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
