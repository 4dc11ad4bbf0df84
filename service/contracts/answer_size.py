"""How much of an answer is encoded on the event loop: by its values, since rows may be wide."""

import math
from collections.abc import Iterable
from typing import Any

from service.contracts.contract import Predictions

LOOP_VALUES = 16_000
"""More values than this are not decoded on the event loop, nor encoded: that takes milliseconds."""

WRITTEN = "json"
"""The dtype of a list column whose items are JSON, as bytes."""

_TEXT_BYTES_A_VALUE = 16
"""A number takes as long to write as so many characters that are to be escaped."""
_NAME_BYTES_A_VALUE = 64
_WRITTEN_MOMENT_VALUES = 128
"""A moment takes as long to write as so many numbers, where it has nanoseconds."""
_COLUMN_VALUES = 8
"""A column takes as long as so many numbers, however few it has."""
_COPIED_BYTES_A_VALUE = 256
"""A number takes as long to write as so many bytes take that are only copied."""


def is_wide(predictions: Predictions, start: int, stop: int) -> bool:
    """Tell whether rows [start, stop) of a worker's answer take as long as LOOP_VALUES to write.

    The values of a list are not looked at: a worker sends no list that holds much.
    """
    rows = stop - start
    names = predictions.names
    values = rows * sum(map(len, names)) // _NAME_BYTES_A_VALUE + _COLUMN_VALUES * len(names)
    for column, dtype, shape in zip(
        predictions.columns, predictions.dtypes, predictions.shapes, strict=True
    ):
        if not isinstance(column, list):
            values += _weight(dtype, shape, rows)
        elif dtype == WRITTEN:
            values += sum(map(len, column[start:stop])) // _COPIED_BYTES_A_VALUE
        else:
            values += rows
    return values > LOOP_VALUES


def holds_much(predictions: Predictions) -> bool:
    """Tell whether an answer has more than LOOP_VALUES, after a look at each of them."""
    left = LOOP_VALUES
    for column, dtype, shape in zip(
        predictions.columns, predictions.dtypes, predictions.shapes, strict=True
    ):
        if isinstance(column, list):
            left -= _count_up_to(left, column)
        else:
            left -= _weight(dtype, shape, predictions.rows)
        if left < 0:
            return True
    return False


def _weight(dtype: str, shape: list[int], rows: int) -> int:
    """Return how many numbers take as long to write as so many rows of a buffer."""
    if dtype.startswith("datetime64"):
        rows *= _WRITTEN_MOMENT_VALUES
    return rows * math.prod(shape)


def _count_up_to(most: int, values: Iterable[Any]) -> int:
    """Count values, and those within them; about `most` where there are more."""
    count = 0
    for value in values:
        count += 1
        if isinstance(value, str | bytes):
            count += len(value) // _TEXT_BYTES_A_VALUE
        elif isinstance(value, dict):
            count += _count_up_to(most - count, value) + _count_up_to(most - count, value.values())
        elif isinstance(value, list | tuple):
            count += _count_up_to(most - count, value)
        if count > most:
            break
    return count


def rows_within(predictions: Predictions, values: int) -> int:
    """Return how many rows of an answer have about so many values, at least one."""
    all_values = values_in(predictions)
    return max(1, values * predictions.rows // max(all_values, 1))


def values_in(predictions: Predictions) -> int:
    """Return about how many values an answer has, without a look at each."""
    values = 0
    for column, shape in zip(predictions.columns, predictions.shapes, strict=True):
        values += _values_of(column, shape, predictions.rows)
    return values


def _values_of(column: bytes | list[Any], shape: list[int], rows: int) -> int:
    """Count the values of so many rows; of a list, by what its first and last one hold."""
    if not isinstance(column, list):
        return rows * math.prod(shape)
    if not column:
        return 0
    return rows * max(_inside(column[0]), _inside(column[-1]), _inside(column[len(column) // 2]))


def _inside(value: Any) -> int:
    if isinstance(value, list | tuple):
        return 1 + sum(map(_inside, value))
    if isinstance(value, dict):
        return 1 + sum(map(_inside, value.values()))
    if isinstance(value, str | bytes):
        return 1 + len(value) // _TEXT_BYTES_A_VALUE
    return 1
