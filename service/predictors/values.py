"""Turn one column of a model's answer into a buffer, or a list of what JSON has."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from service.contracts.contract import Column

_NUMERIC = {"integer", "long", "float", "double"}
_INT_RANGE = range(-(2**63), 2**64)


class Values(NamedTuple):
    """A column in the form that Predictions have, and its rows without a finite number."""

    data: Column
    dtype: str
    shape: list[int]
    non_finite: list[int]


def to_values(values: Any, kind: str) -> Values:
    """Return a column's data; `kind` is its type in the signature ('' where that says none).

    Raise TypeError or ValueError for what has no JSON.
    """
    if isinstance(values, pd.Series):
        values = _from_series(values)
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004 - one value a row after all
            values = values[:, 0]
        if values.dtype.kind not in "OUSm":
            return _from_array(values)
        values = list(values) if values.dtype.kind in "Om" else values.tolist()
    return _from_list(list(values), kind)


def _from_series(series: "pd.Series[Any]") -> Any:
    """Return a numpy array where numpy has the type, else a list."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        series = series.astype(object)
        return series.tolist()
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    numpy_dtype = getattr(dtype, "numpy_dtype", None)
    if numpy_dtype is not None and numpy_dtype.kind in "biuf" and not series.isna().any():
        return series.to_numpy(dtype=numpy_dtype)
    return series.astype(object).tolist()


def _from_array(array: "np.ndarray[Any, Any]") -> Values:
    match array.dtype.kind:
        case "b" | "i" | "u":
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        case "f":
            wanted = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.float64  # noqa: PLR2004
            array = array.astype(wanted, copy=False)
        case "M":
            array = array.astype("datetime64[us]", copy=False)
        case _:
            raise TypeError(f"numpy's {array.dtype} is no type of JSON's")
    shape = [int(size) for size in array.shape[1:]]
    bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(0, bool)
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1)) if bad.any() else ()
    return Values(array.tobytes(), array.dtype.name, shape, [int(row) for row in rows])


def _from_list(values: list[Any], kind: str) -> Values:
    plain = [_plain(value) for value in values]
    numbers = [isinstance(value, int | float) and type(value) is not bool for value in plain]
    empty = [_is_nan(value) or value is None for value in plain]
    if all(numbers) and plain:
        array = np.array(plain)
        if array.dtype.kind in "iuf":
            return _from_array(array)
    # A hole among labels is a null; among numbers it is a number that is none.
    numeric = all(map(max, numbers, empty)) and (
        kind in _NUMERIC or any(n and not e for n, e in zip(numbers, empty, strict=True))
    )
    if not numeric:
        plain = [None if _is_nan(value) else value for value in plain]
    non_finite = [
        row for row, value in enumerate(plain) if not _finite(value) or (numeric and value is None)
    ]
    return Values(plain, "", [], non_finite)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_finite, value))
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return True


def _plain(value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    """Return a value as JSON and msgpack have it."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
    elif isinstance(value, np.generic):
        value = value.item()
    match value:
        case None | bool() | float():
            return value if value is None or type(value) is bool else float(value)
        case str():
            return str(value.value if isinstance(value, Enum) else value)
        case int():
            if value not in _INT_RANGE:
                raise ValueError("an integer of more than 64 bits")
            return int(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case Decimal():
            return float(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case np.ndarray() | pd.Series():
            return [_plain(item) for item in value]
        case Enum():
            return _plain(value.value)
    if value is pd.NA or value is pd.NaT:
        return None
    return _plain_time(value)


def _plain_time(value: Any) -> str:
    match value:
        case datetime():
            aware = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(pd.Timedelta(value).isoformat())
    if hasattr(value, "model_dump"):  # pydantic
        return _plain(value.model_dump())  # type: ignore[no-any-return]
    raise TypeError(f"{type(value).__name__} is no type of JSON's")
