"""How much a body may become: rows, decoded bytes, and the answer, in proportion to what was sent.

And how much of either is decoded or encoded on the event loop, by values, since rows may be wide.
"""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from service.contracts.columnar import plain_names
from service.contracts.contract import Call, Contract, Predictions
from service.contracts.mlflow_types import SCALARS
from service.core.errors import AnswerTooLargeError, BodyTooLargeError

LOOP_VALUES = 16_000
"""More values than this are not decoded on the event loop, nor encoded: that takes milliseconds."""

WRITTEN = "json"
"""The dtype of a list column whose items are JSON, as bytes."""

_VALUE_BYTES = 8
_LEAST_ROWS = 100_000
"""A body may always have so many rows."""
_LOOKED_INTO_BYTES = 20_000
"""A JSON body of fewer bytes holds too little to be counted before it is decoded."""
_BYTES_A_ROW = 256
"""Of the decoded limit, which is 8 times MAX_BODY_BYTES: one row for 32 bytes of the latter."""
_FREE_BYTES = 4_000_000
"""A body may always become so much, and beyond it ..."""
_GROWTH = 64
"""... so many times its size: lz4 and zstd reach that with columns that repeat themselves."""
_ANSWER_SHARE = 4
"""An answer may always have this part of the decoded limit: a text may become a wide embedding."""
_ROW_FRAME_BYTES = 5
_NUMBER_BYTES = 4
"""What a number takes in JSON at least, as a rule."""
_TEXT_BYTES_A_VALUE = 16
"""A number takes as long to write as so many characters that are to be escaped."""
_NAME_BYTES_A_VALUE = 64
_LEAST_VALUE_BYTES = 2
_ROWS_FIRST = b'{"instances":'
_MOMENT_VALUES = 4
"""A moment takes as long to read as so many numbers."""
_WRITTEN_MOMENT_VALUES = 128
"""A moment takes as long to write as so many numbers, where it has nanoseconds."""
_COLUMN_VALUES = 8
"""A column takes as long as so many numbers, however few it has."""
_COPIED_BYTES_A_VALUE = 256
"""A number takes as long to write as so many bytes take that are only copied."""


class Bounds(msgspec.Struct, frozen=True):
    """What a body of this size may become under a limit for all that is decoded."""

    sent_bytes: int
    max_decoded_bytes: int

    @property
    def rows(self) -> int:
        """The most rows."""
        return max(_LEAST_ROWS, self.max_decoded_bytes // _BYTES_A_ROW)

    @property
    def decoded_bytes(self) -> int:
        """The most bytes once it is decoded."""
        return min(self.max_decoded_bytes, max(_FREE_BYTES, _GROWTH * self.sent_bytes))

    @property
    def answer_bytes(self) -> int:
        """The most bytes of its answer."""
        grown = min(self.max_decoded_bytes, _GROWTH * self.sent_bytes)
        return max(_FREE_BYTES, self.max_decoded_bytes // _ANSWER_SHARE, grown)

    def check_json(self, body: bytes, inputs: int) -> None:
        """Raise BodyTooLargeError before a body is decoded whose rows are many, and hold nothing.

        Each `{` is a row or an object within one.
        """
        if len(body) <= _LOOKED_INTO_BYTES:
            return
        rows = body.count(b"{") - 1
        self._check_rows(rows, " or objects")
        most = max(_FREE_BYTES, self.max_decoded_bytes) // _VALUE_BYTES
        if rows * inputs > most:
            raise BodyTooLargeError(
                f"the body's rows would hold {rows * inputs} values, and {most} are taken "
                "(MAX_BODY_BYTES)"
            )

    def check_call(self, call: Call) -> None:
        """Raise BodyTooLargeError for too many rows."""
        self._check_rows(call.rows, "")

    def check_answer(self, predictions: Predictions, *, named_rows: bool) -> None:
        """Raise AnswerTooLargeError before an answer is encoded that would be too large.

        `named_rows` is whether each row is to have the outputs' names.
        """
        size = self._least_bytes(predictions, named_rows=named_rows)
        if size > self.answer_bytes:
            raise AnswerTooLargeError(
                f"the answer would have over {size} bytes, and {self.answer_bytes} are given for a "
                f"body of {self.sent_bytes}: send fewer rows at a time"
            )

    def _check_rows(self, rows: int, or_what: str) -> None:
        if rows > self.rows:
            raise BodyTooLargeError(
                f"the body has {rows} rows{or_what}, and {self.rows} are taken (one for each 32 "
                "bytes of MAX_BODY_BYTES): send fewer at a time"
            )

    def _least_bytes(self, predictions: Predictions, *, named_rows: bool) -> int:
        values = _count(predictions, predictions.rows)
        names = sum(len(name) + _ROW_FRAME_BYTES for name in predictions.names)
        return values * _NUMBER_BYTES + (names * predictions.rows if named_rows else 0)


class ReadingCost:
    """Tells which JSON bodies of a contract take too long to be decoded on the event loop."""

    def __init__(self, contract: Contract) -> None:
        self._inputs = len(contract.inputs)
        # A row has at least its required names: `{"a":1}`.
        names = sum(len(spec.name) + 4 for spec in contract.inputs if spec.required)
        self._least_row_bytes = _LEAST_VALUE_BYTES + names
        moments = any(spec.type == "datetime" for spec in contract.inputs)
        self._a_value = _MOMENT_VALUES if moments else 1
        least_value_bytes = self._least_row_bytes / max(1, self._inputs)
        self._few_bytes = int(LOOP_VALUES * min(_LEAST_VALUE_BYTES, least_value_bytes))
        """A body of so many has no room for more than LOOP_VALUES."""
        is_flat = plain_names(contract.inputs) and all(
            spec.type in SCALARS for spec in contract.inputs
        )
        self._few_in_rows = int(LOOP_VALUES / self._a_value * least_value_bytes) if is_flat else 0
        """Nor has one of so many bytes in rows, each of which has at least its required names."""

    def is_high(self, body: bytes) -> bool:
        """Tell whether a body may have more than LOOP_VALUES.

        Almost all are told by their length alone: to count takes a nanosecond a byte. One that has
        rows first and columns after them may have more. It is refused for having both, and holds
        the loop for 15 ms at RAW_BODY_BYTES.
        """
        if len(body) <= self._few_bytes or (
            len(body) <= self._few_in_rows and body.startswith(_ROWS_FIRST)
        ):
            return False
        values = body.count(b",") * self._a_value
        return max(values, body.count(b"{") * self._inputs) > LOOP_VALUES


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
    all_values = _count(predictions, predictions.rows)
    return max(1, values * predictions.rows // max(all_values, 1))


def _count(predictions: Predictions, rows: int) -> int:
    values = 0
    for column, shape in zip(predictions.columns, predictions.shapes, strict=True):
        values += _values_of(column, shape, rows)
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
