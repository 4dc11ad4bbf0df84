"""Tell whether two answers to the same rows are the same."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.contracts.contract import Predictions

# Relative and, times the largest number of the column, absolute. Sums in another order differ.
_TOLERANCES = {"float64": (1e-9, 1e-12), "float32": (1e-4, 1e-6), "float16": (1e-2, 1e-3)}
_EXACT = (1e-9, 1e-12)


def unlike(
    left: Predictions, left_rows: Sequence[int], right: Predictions, right_rows: Sequence[int]
) -> str:
    """Return where these rows of two answers differ, '' where they don't."""
    if left.names != right.names:
        return f"the columns {', '.join(left.names)} became {', '.join(right.names)}"
    for index, name in enumerate(left.names):
        ours, theirs = _values(left, index), _values(right, index)
        scale = _largest(ours)
        relative, share = max(
            _TOLERANCES.get(left.dtypes[index], _EXACT),
            _TOLERANCES.get(right.dtypes[index], _EXACT),
        )
        for a, b in zip(left_rows, right_rows, strict=True):
            if not _like(ours[a], theirs[b], relative, share * scale):
                return f"{name} of row {a} is {_shown(ours[a])} and {_shown(theirs[b])}"
    return ""


def _values(predictions: Predictions, index: int) -> Any:
    column = predictions.columns[index]
    if isinstance(column, list):
        return column
    array = np.frombuffer(column, predictions.dtypes[index])
    return array.reshape(predictions.rows, *predictions.shapes[index])


def _largest(values: Any) -> float:
    """Return the largest finite magnitude in a column, which sets the scale of rounding."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "iuf":
            return 0.0
        finite = np.abs(values[np.isfinite(values)].astype("float64"))
        return float(finite.max()) if finite.size else 0.0
    numbers = [abs(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return float(max(numbers, default=0.0))


def _like(a: Any, b: Any, relative: float, absolute: float) -> bool:  # noqa: PLR0911
    if isinstance(a, np.ndarray | np.generic) and isinstance(b, np.ndarray | np.generic):
        if a.shape != b.shape:
            return False
        if a.dtype.kind == "f" or b.dtype.kind == "f":
            return bool(np.allclose(a, b, rtol=relative, atol=absolute, equal_nan=True))
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "M"))
    a, b = _builtin(a), _builtin(b)
    if isinstance(a, list) and isinstance(b, list):
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(_like(x, y, relative, absolute) for x, y in pairs)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_like(a[k], b[k], relative, absolute) for k in a)
    if isinstance(a, float) or isinstance(b, float):
        return _close(a, b, relative, absolute)
    return bool(a == b)


def _close(a: Any, b: Any, relative: float, absolute: float) -> bool:
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    both_nan = math.isnan(a) and math.isnan(b)
    return both_nan or math.isclose(a, b, rel_tol=relative, abs_tol=absolute)


def _builtin(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _shown(value: Any) -> str:
    text = repr(_builtin(value))
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004
