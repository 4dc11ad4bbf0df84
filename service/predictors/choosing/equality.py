"""Tell whether two answers to the same rows are equal, within a tolerance for sums alone."""

from typing import Any, NamedTuple

import numpy as np

from service.contracts.contract import Predictions

_USUAL = 0.9


class Difference(NamedTuple):
    """The first row that differs, and what the two said; row -1 for a difference in form."""

    row: int
    text: str


def difference(
    wanted: Predictions, found: Predictions, rtol: float, scales: list[float] | None = None
) -> Difference | None:
    """Return where `found` is not what was wanted, None where it is.

    Floating-point numbers may differ by `rtol` of the value, or of the column's scale (as of
    `scales_of`, unless `scales` says); all else is equal or different.
    """
    for what in ("rows", "names", "dtypes", "shapes"):
        ours, theirs = getattr(wanted, what), getattr(found, what)
        if ours != theirs:
            return Difference(-1, f"{what} are {ours} and {theirs}")
    for index, name in enumerate(wanted.names):
        ours, theirs = _values(wanted, index), _values(found, index)
        scale = scales[index] if scales else _scale(ours)
        rows = _unequal(ours, theirs, rtol, rtol * scale)
        if rows.size:
            row = int(rows[0])
            return Difference(row, f"{name} is {_shown(ours[row])} and {_shown(theirs[row])}")
    return None


def scales_of(predictions: Predictions, start: int) -> list[float]:
    """Return how large the numbers in each column usually are, in the rows from `start` on.

    Nine in ten are no larger: one huge answer to an absurd row must not excuse all others.
    """
    return [_scale(_values(predictions, index)[start:]) for index in range(len(predictions.names))]


def _scale(values: Any) -> float:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return 0.0
    finite = np.abs(values[np.isfinite(values)])
    return float(np.quantile(finite, _USUAL)) if finite.size else 0.0


def _values(predictions: Predictions, index: int) -> Any:
    column = predictions.columns[index]
    if isinstance(column, list):
        return column
    array = np.frombuffer(column, predictions.dtypes[index])
    return array.reshape(predictions.rows, *predictions.shapes[index])


def _unequal(ours: Any, theirs: Any, rtol: float, atol: float) -> "np.ndarray[Any, Any]":
    """Return the rows that differ."""
    if isinstance(ours, list):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return np.array([row for row, (a, b) in pairs if not _same(a, b)], int)
    if ours.dtype.kind != "f":
        equal = ours == theirs
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(ours - theirs) <= rtol * np.abs(ours) + atol
            # Beside infinity everything would be near.
            near &= np.isfinite(ours) & np.isfinite(theirs)
        equal = (ours == theirs) | near | (np.isnan(ours) & np.isnan(theirs))
    return np.flatnonzero(~equal.reshape(len(equal), -1).all(axis=1))


def _same(a: Any, b: Any) -> bool:
    # True is no 1 here.
    return type(a) is type(b) and bool(a == b)


def _shown(value: Any) -> str:
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
