"""Whether a worker's answer fits together."""

from typing import Any

import msgspec
import numpy as np
import pytest

from service.codecs.json.encoding import encode_rows
from service.contracts import fitting
from service.contracts.answer_size import WRITTEN
from service.contracts.contract import Predictions
from service.contracts.fitting import misfit

TWO = np.array([1.0, 2.0]).tobytes()
GOOD = Predictions(2, ["y", "z"], [TWO, ["a", None]], ["float64", ""], [[], []], [1], 0.1)


def changed(**fields: Any) -> Predictions:
    """Return GOOD with other fields."""
    return msgspec.structs.replace(GOOD, **fields)


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        changed(columns=[TWO * 3, [1, 2]], shapes=[[3], []]),
        changed(columns=[bytes(16), [1, 2]], dtypes=["datetime64[us]", ""], non_finite=[0, 1]),
        Predictions(0, ["y"], [b""], ["float64"], [[]], []),
    ],
)
def test_what_workers_send_fits(good: Predictions) -> None:
    """And is written as JSON."""
    assert misfit(good, good.rows) == ""
    encode_rows(good, 0, good.rows)


@pytest.mark.parametrize(
    "wrong",
    [
        changed(rows=3),
        changed(rows=-1),
        changed(names=["y"]),
        changed(dtypes=["float64"]),
        changed(shapes=[[]]),
        changed(columns=[TWO]),
        changed(columns=[TWO, ["a"]]),
        changed(columns=[TWO[:-1], ["a", None]]),
        changed(columns=[TWO * 2, ["a", None]]),
        changed(dtypes=["object", ""]),
        changed(dtypes=["V8", ""]),
        changed(columns=[TWO, [b"1", "2"]], dtypes=["float64", WRITTEN]),
        changed(columns=[b"12", ["a", None]], dtypes=[WRITTEN, ""], shapes=[[], []]),
        changed(dtypes=["f4,f4", ""]),
        changed(dtypes=["nonsense" * 1000, ""]),
        changed(dtypes=["", ""]),
        changed(shapes=[[-1], []]),
        changed(shapes=[[2**62, 2**62], []]),
        changed(shapes=[[1] * 1000, []]),
        changed(non_finite=[2]),
        changed(non_finite=[-1]),
        changed(non_finite=[1, 0]),
        changed(non_finite=[1, 1]),
        changed(took_s=float("nan")),
        changed(took_s=float("inf")),
        changed(took_s=-1.0),
    ],
)
def test_what_does_not_fit_is_told(wrong: Predictions) -> None:
    """Rows that were not asked for, columns of another length, and times that are none."""
    told = misfit(wrong, 2)
    assert told
    assert len(told) < 200


def test_any_number_of_rows_fits_where_none_is_wanted() -> None:
    """But they are as many as the columns have."""
    assert misfit(GOOD, None) == ""
    assert misfit(changed(rows=3), None)


def test_a_long_text_for_a_dtype_is_not_remembered() -> None:
    """A worker may send megabytes of it, and other ones each time."""
    fitting.item_size.cache_clear()
    for number in range(10):
        assert misfit(changed(dtypes=[f"{number}" * 1000, ""]), 2)
    assert fitting.item_size.cache_info().currsize == 0
    assert misfit(GOOD, 2) == ""
    assert fitting.item_size.cache_info().currsize == 1
