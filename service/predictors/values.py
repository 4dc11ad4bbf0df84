"""Turn one column of a model's answer into a buffer, or a list of what JSON has."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from service.contracts.contract import Column

_FRACTIONAL = frozenset({"float", "double"})
_NO_NUMBERS = frozenset({"string", "boolean", "binary", "datetime"})
_SCALARS = _NO_NUMBERS | _FRACTIONAL | {"integer", "long"}
_INT_RANGE = range(-(2**63), 2**64)


class Values(NamedTuple):
    """A column in the form that Predictions have, and its rows without a finite number."""

    data: Column
    dtype: str
    shape: list[int]
    non_finite: list[int]


def to_values(values: Any, kind: str, *, single: bool = False) -> Values:
    """Return a column's data; `kind` is its type in the signature ('' where that says none).

    A value that is missing (None, pandas' NA or NaT) is null. NaN is a number that is none, but
    where the type is no number's, or pandas has it for what is missing. `single` is whether a row
    has one value, which may have come as a list of one. Raise TypeError or ValueError for what has
    no JSON.
    """
    nan_is_missing = kind in _NO_NUMBERS
    if isinstance(values, pd.Series):
        nan_is_missing = nan_is_missing or (kind not in _FRACTIONAL and _marks_missing(values))
        values = _from_series(values)
    if isinstance(values, np.ndarray):
        if single and values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004 - rows of one
            values = values[:, 0]
        if values.dtype.kind not in "OUSm" and 0 not in values.shape[1:]:
            return _from_array(values)
        values = list(values) if values.dtype.kind in "Om" else values.tolist()
    if single and kind != "string":
        values = [v[0] if isinstance(v, list | tuple) and len(v) == 1 else v for v in values]
    return _from_list(list(values), kind, nan_is_missing=nan_is_missing)


def _marks_missing(series: "pd.Series[Any]") -> bool:
    """Tell whether pandas has NaN among these values for one that is missing."""
    return series.dtype.kind == "O"


def _from_series(series: "pd.Series[Any]") -> Any:
    """Return a numpy array where numpy has the type, else a list."""
    dtype = series.dtype
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
            # Finer than microseconds is kept; coarser has no type of its own in what is answered.
            fine = np.datetime_data(array.dtype)[0] in {"ns", "ps", "fs", "as"}
            array = array.astype("datetime64[ns]" if fine else "datetime64[us]", copy=False)
        case _:
            raise TypeError(f"numpy's {array.dtype} is no type of JSON's")
    shape = [int(size) for size in array.shape[1:]]
    bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(0, bool)
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1)) if bad.any() else ()
    return Values(array.tobytes(), array.dtype.name, shape, [int(row) for row in rows])


def _from_list(values: list[Any], kind: str, *, nan_is_missing: bool) -> Values:
    plain = [_plain(value) for value in values]
    if nan_is_missing:
        plain = [None if _is_nan(value) else value for value in plain]
    array = _of_one_type(plain, kind)
    if array is not None:
        return _from_array(array)
    if kind in _FRACTIONAL:
        plain = [float(value) if type(value) is int else value for value in plain]
    return Values(plain, "", [], [row for row, value in enumerate(plain) if not _finite(value)])


def _of_one_type(plain: list[Any], kind: str) -> "np.ndarray[Any, Any] | None":
    """Return numbers of one type, or lists of them of one length, as an array, None for others.

    An array has one type for all: among others a number would not stay what the model answered.
    """
    leaves = set(map(type, plain))
    if leaves == {list} and kind not in _SCALARS:
        widths = set(map(len, plain))
        if len(widths) > 1 or 0 in widths:
            return None
        leaves = {type(item) for row in plain for item in row}
    if leaves == {int, float} and kind in _FRACTIONAL:
        leaves = {float}
    if leaves not in ({int}, {float}):
        return None
    array = np.array(plain, np.float64 if leaves == {float} else None)
    return (
        array
        if array.dtype.kind in "iuf" and (leaves == {float}) == (array.dtype.kind == "f")
        else None
    )


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
        case np.ndarray() if not value.ndim:
            return _plain(value.item())
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
            aware = (
                value.astimezone(timezone.utc)
                if value.tzinfo
                else value.replace(tzinfo=timezone.utc)
            )
            return aware.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(pd.Timedelta(value).isoformat())
    if hasattr(value, "model_dump"):  # pydantic
        return _plain(value.model_dump())  # type: ignore[no-any-return]
    raise TypeError(f"{type(value).__name__} is no type of JSON's")
