"""Write a model's answers as JSON."""

from collections.abc import Generator
from datetime import timezone
from typing import Any

import msgspec
import numpy as np

from service.codecs.json.row_types import RowTypes
from service.contracts.answer_size import WRITTEN, rows_within
from service.contracts.contract import Column, Predictions

write = msgspec.json.Encoder().encode
"""Writes one value as JSON."""
CHUNK_VALUES = 4_096
"""At a time: some tenths of a millisecond."""
_ROW_TYPES = RowTypes()
_NS_IN_US = 1000


def encode_columns(predictions: Predictions, start: int, stop: int) -> bytes:
    """Return rows [start, stop) as a JSON object with an array a column; see `encode_rows`."""
    columns = _columns(predictions, start, stop)
    return write(dict(zip(predictions.names, columns, strict=True)))


def encode_rows(predictions: Predictions, start: int, stop: int) -> bytes:
    """Return rows [start, stop) as a JSON array with one object a row.

    Datetimes are RFC 3339 in UTC, bytes base64; what is no finite number becomes null.
    """
    columns = _columns(predictions, start, stop)
    return write(list(map(_ROW_TYPES.of(predictions.names), *columns)))


def unpacked(predictions: Predictions) -> Predictions:
    """Return the same with lists for buffers: for answers that are encoded a row or two at a time.

    To take one number out of a buffer costs as much as to take all of a batch.
    """
    return msgspec.structs.replace(
        predictions,
        columns=_columns(predictions, 0, predictions.rows),
        # JSON is wrapped by now, and written as it is.
        dtypes=["" if dtype == WRITTEN else dtype for dtype in predictions.dtypes],
    )


def encode_rows_chunked(
    predictions: Predictions, start: int, stop: int
) -> Generator[None, None, bytes]:
    """Do as `encode_rows` does, and yield between some rows and the next."""
    arrays: list[bytes] = []
    for chunk in _chunks(predictions, start, stop):
        if arrays:
            yield
        arrays.append(encode_rows(predictions, *chunk))
    return _joined(arrays)


def encode_columns_chunked(
    predictions: Predictions, start: int, stop: int
) -> Generator[None, None, bytes]:
    """Do as `encode_columns` does, and yield between some rows of a column and the next."""
    fields: list[bytes] = []
    chunks = _chunks(predictions, start, stop)
    for name, column, dtype, shape in zip(
        predictions.names, predictions.columns, predictions.dtypes, predictions.shapes, strict=True
    ):
        arrays: list[bytes] = []
        for chunk in chunks:
            if fields or arrays:
                yield
            arrays.append(write(values_of(column, dtype, shape, *chunk)))
        fields.append(write(name) + b":" + _joined(arrays))
    return b"{" + b",".join(fields) + b"}"


def _chunks(predictions: Predictions, start: int, stop: int) -> list[tuple[int, int]]:
    rows = rows_within(predictions, CHUNK_VALUES)
    return [(at, min(at + rows, stop)) for at in range(start, stop, rows)]


def _joined(arrays: list[bytes]) -> bytes:
    """Return JSON arrays as one."""
    return b"[" + b",".join(array[1:-1] for array in arrays) + b"]"


def _columns(predictions: Predictions, start: int, stop: int) -> list[list[Any]]:
    return [
        values_of(column, dtype, shape, start, stop)
        for column, dtype, shape in zip(
            predictions.columns, predictions.dtypes, predictions.shapes, strict=True
        )
    ]


def values_of(column: Column, dtype: str, shape: list[int], start: int, stop: int) -> list[Any]:
    """Return some rows of one column as Python values, or as JSON where they are that."""
    if isinstance(column, list):
        rows = column[start:stop]
        return list(map(msgspec.Raw, rows)) if dtype == WRITTEN else rows
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
    return None if value is None else value.replace(tzinfo=timezone.utc)
