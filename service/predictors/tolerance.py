"""Tell whether two answers to the same rows are equal, within a tolerance for sums alone."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from service.contracts.contract import Predictions

_USUAL = 0.9
_ROUNDING = {"float64": (1e-9, 1e-12), "float32": (1e-4, 1e-6), "float16": (1e-2, 1e-3)}
"""By type how far numbers may differ: relative, and as a share of the column's largest one. Sums
in another order differ."""
_OTHERS_ROUNDING = _ROUNDING["float64"]
_NUMBERS = frozenset("biuf")
_MOST_SHOWN = 60

Rows = np.ndarray[Any, Any]


class Difference(NamedTuple):
    """The first row that differs, and what the two said; row -1 for a difference in form."""

    row: int
    text: str


def difference(
    wanted: Predictions, found: Predictions, rtol: float, scales: list[float] | None = None
) -> Difference | None:
    """Return where `found` is not what was wanted, None where it is.

    Floating-point numbers may differ by `rtol` of the value, or of the column's scale (as of
    `scales_of`, unless `scales` says); all else, types with it, is equal or different.
    """
    for what in ("rows", "names", "dtypes", "shapes"):
        ours, theirs = getattr(wanted, what), getattr(found, what)
        if ours != theirs:
            return Difference(-1, f"{what} are {ours} and {theirs}")
    for index, name in enumerate(wanted.names):
        ours, theirs = _values(wanted, index), _values(found, index)
        scale = scales[index] if scales else _scale(ours, _USUAL)
        rows = _unequal(ours, theirs, rtol, rtol * scale, _same)
        if rows.size:
            row = int(rows[0])
            return Difference(row, f"{name} is {_shown(ours[row])} and {_shown(theirs[row])}")
    return None


def rounding_difference(together: Predictions, rows: Sequence[int], apart: Predictions) -> str:
    """Return where these rows of an answer differ from an answer to them alone, '' where nowhere.

    Within what rounding may do to numbers of their type, which may be another in either.
    """
    if together.names != apart.names:
        return f"the columns {', '.join(together.names)} became {', '.join(apart.names)}"
    for index, name in enumerate(together.names):
        relative, share = max(
            _ROUNDING.get(together.dtypes[index], _OTHERS_ROUNDING),
            _ROUNDING.get(apart.dtypes[index], _OTHERS_ROUNDING),
        )
        column, theirs = _values(together, index), _values(apart, index)
        absolute = share * _scale(column, 1.0)
        ours = [column[row] for row in rows] if isinstance(column, list) else column[list(rows)]
        different = _unequal(
            ours, theirs, relative, absolute, partial(_near, relative=relative, absolute=absolute)
        )
        if different.size:
            at = int(different[0])
            return f"{name} of row {rows[at]} is {_shown(ours[at])} and {_shown(theirs[at])}"
    return ""


def scales_of(predictions: Predictions, start: int) -> list[float]:
    """Return how large the numbers in each column usually are, in the rows from `start` on.

    Nine in ten are no larger: one huge answer to an absurd row must not excuse all others.
    """
    columns = range(len(predictions.names))
    return [_scale(_values(predictions, index)[start:], _USUAL) for index in columns]


def _scale(values: Any, quantile: float) -> float:
    """Return what this share of the finite numbers in a column do not exceed."""
    if isinstance(values, list):
        values = np.array([v for v in values if isinstance(v, int | float)], np.float64)
    if values.dtype.kind not in "iuf":
        return 0.0
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(np.quantile(finite, quantile)) if finite.size else 0.0


def _values(predictions: Predictions, index: int) -> Any:
    column = predictions.columns[index]
    if isinstance(column, list):
        return column
    array = np.frombuffer(column, predictions.dtypes[index])
    return array.reshape(predictions.rows, *predictions.shapes[index])


def _unequal(
    ours: Any, theirs: Any, relative: float, absolute: float, alike: Callable[[Any, Any], bool]
) -> Rows:
    """Return the rows that differ; `alike` compares values of which one is in no array."""
    if isinstance(ours, list) or isinstance(theirs, list) or ours.shape != theirs.shape:
        pairs = enumerate(zip(ours, theirs, strict=True))
        return np.array([row for row, (a, b) in pairs if not alike(a, b)], int)
    equal, kinds = ours == theirs, {ours.dtype.kind, theirs.dtype.kind}
    if "f" in kinds and kinds <= _NUMBERS:
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(ours - theirs) <= relative * np.abs(ours) + absolute
            # Beside infinity everything would be near.
            near &= np.isfinite(ours) & np.isfinite(theirs)
        equal |= near | (np.isnan(ours) & np.isnan(theirs))
    elif kinds == {"M"}:
        equal |= np.isnat(ours) & np.isnat(theirs)
    return np.flatnonzero(~equal.reshape(len(equal), -1).all(axis=1))


def _same(a: Any, b: Any) -> bool:
    # True is no 1 here.
    return type(a) is type(b) and bool(a == b)


def _near(a: Any, b: Any, relative: float, absolute: float) -> bool:
    a, b = _builtin(a), _builtin(b)
    if isinstance(a, list) and isinstance(b, list):
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(_near(x, y, relative, absolute) for x, y in pairs)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near(a[k], b[k], relative, absolute) for k in a)
    if not (isinstance(a, float) or isinstance(b, float)):
        return bool(a == b)
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    both_nan = math.isnan(a) and math.isnan(b)
    return both_nan or math.isclose(a, b, rel_tol=relative, abs_tol=absolute)


def _builtin(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _shown(value: Any) -> str:
    text = repr(_builtin(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
