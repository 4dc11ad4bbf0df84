"""Write a model's answers as JSON."""

from collections.abc import Callable
from datetime import UTC
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from service.contracts.contract import Column, Form, Predictions

_ENCODER = msgspec.json.Encoder()
_REMEMBERED = 64
"""Sets of output names: a version has one."""
_NS_IN_US = 1000


def encode(predictions: Predictions, start: int, stop: int, form: Form) -> bytes:
    """Return rows [start, stop) as JSON, in the form that the request had."""
    if form is Form.COLUMNS:
        return encode_columns(predictions, start, stop)
    return encode_rows(predictions, start, stop)


def encode_columns(predictions: Predictions, start: int, stop: int) -> bytes:
    """Return rows [start, stop) as a JSON object with an array a column; see `encode_rows`."""
    columns = _columns(predictions, start, stop)
    return _ENCODER.encode(dict(zip(predictions.names, columns, strict=True)))


def encode_rows(predictions: Predictions, start: int, stop: int) -> bytes:
    """Return rows [start, stop) as a JSON array with one object a row.

    Datetimes are RFC 3339 in UTC, bytes base64; what is no finite number becomes null.
    """
    columns = _columns(predictions, start, stop)
    return _ENCODER.encode(list(map(_row_type(*predictions.names), *columns)))


def unpacked(predictions: Predictions) -> Predictions:
    """Return the same with lists for buffers: for answers that are encoded a row or two at a time.

    To take one number out of a buffer costs as much as to take all of a batch.
    """
    return msgspec.structs.replace(
        predictions,
        columns=_columns(predictions, 0, predictions.rows),
        dtypes=[""] * len(predictions.names),
    )


@lru_cache(_REMEMBERED)
def _row_type(*names: str) -> Callable[..., Any]:
    """Return what makes a row of its values: a Struct is made and encoded in a fifth of the time.

    A dict where msgspec's structs do not take the names: they know no quote, no backslash, and no
    name twice.
    """
    identifiers = [f"f{index}" for index in range(len(names))]
    try:
        row: Callable[..., Any] = msgspec.defstruct(
            "Row",
            [(identifier, Any) for identifier in identifiers],
            rename=dict(zip(identifiers, names, strict=True)),
            gc=False,
        )
    except ValueError:
        return lambda *values: dict(zip(names, values, strict=True))
    return row


def _columns(predictions: Predictions, start: int, stop: int) -> list[list[Any]]:
    return [
        _values(column, dtype, shape, start, stop)
        for column, dtype, shape in zip(
            predictions.columns, predictions.dtypes, predictions.shapes, strict=True
        )
    ]


def _values(column: Column, dtype: str, shape: list[int], start: int, stop: int) -> list[Any]:
    """Return some rows of one column as Python values."""
    if isinstance(column, list):
        return column[start:stop]
    array = np.frombuffer(column, dtype).reshape(-1, *shape)[start:stop]
    values: list[Any] = _moments(array) if array.dtype.kind == "M" else array.tolist()
    return values


def _moments(array: "np.ndarray[Any, Any]") -> list[Any]:
    """Return datetimes in UTC, as texts where some are finer than a datetime of Python's is."""
    values: list[Any] = _in_utc(array.astype("datetime64[us]").tolist())
    if np.datetime_data(array.dtype)[0] != "ns":
        return values
    rest = array.astype(np.int64) % _NS_IN_US
    if not (rest.any() and (rest[~np.isnat(array)]).any()):
        return values
    return [_with_nanoseconds(*pair) for pair in zip(values, rest.tolist(), strict=True)]


def _with_nanoseconds(value: Any, rest: Any) -> Any:
    if isinstance(value, list):
        return [_with_nanoseconds(*pair) for pair in zip(value, rest, strict=True)]
    if value is None or not rest:
        return value
    return f"{value:%Y-%m-%dT%H:%M:%S.%f}{rest:03d}Z"


def _in_utc(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_utc(item) for item in value]
    return None if value is None else value.replace(tzinfo=UTC)
