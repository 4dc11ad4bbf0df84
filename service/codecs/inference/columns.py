"""A column of a model's answer as a tensor: its datatype, its shape, its rows in either form."""

import math
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from service.codecs.inference.datatypes import BYTES, DATATYPES, DTYPES
from service.codecs.json.encoding import values_of, write
from service.contracts.answer_size import WRITTEN
from service.contracts.contract import Column
from service.core.errors import NotAcceptableError

_LENGTH = struct.Struct("<I")
_INT64 = range(-(2**63), 2**63)
_INT32 = range(-(2**31), 2**31)
_UINT64 = range(2**64)


class AnswerColumn:
    """Writes rows of one column; what a row is follows from its type, and else from its values.

    `content_type` says what BYTES are, in the words of MLServer's clients.
    """

    content_type = ""
    datatype = BYTES

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.name = name
        self.shape = list(shape)
        """Of one row."""

    def json(self, start: int, stop: int) -> bytes:
        """Return these rows' elements as JSON, with commas between them."""
        raise NotImplementedError

    def binary(self, start: int, stop: int) -> bytes:
        """Return these rows' elements as bytes. Raise NotAcceptableError where they have none."""
        raise NotImplementedError


class Numbers(AnswerColumn):
    """Numbers in a buffer, or in lists of as many: whichever the batch has."""

    def __init__(
        self, name: str, column: Column, dtype: str, shape: Sequence[int], declared: str
    ) -> None:
        super().__init__(name, shape)
        self._column = column
        self._source, self._target, self.datatype = _written_as(dtype, declared)
        self._a_row = math.prod(shape)

    def _values(self, start: int, stop: int) -> "np.ndarray[Any, Any]":
        if isinstance(self._column, list):
            found = np.array(self._column[start:stop], self._source).reshape(-1)
        else:
            found = np.frombuffer(self._column, self._source)
            found = found[start * self._a_row : stop * self._a_row]
        return found.astype(self._target, copy=False)

    def json(self, start: int, stop: int) -> bytes:
        """Return numbers; null for what is not finite."""
        as_it_is = self._source.kind == self._target.kind or self._source.kind != "b"
        if isinstance(self._column, list) and not self.shape and as_it_is:
            return write(self._column[start:stop])[1:-1]
        return write(self._values(start, stop).tolist())[1:-1]

    def binary(self, start: int, stop: int) -> bytes:
        """Return numbers, little-endian."""
        return self._values(start, stop).tobytes()


@lru_cache(maxsize=512)
def _written_as(dtype: str, declared: str) -> "tuple[np.dtype[Any], np.dtype[Any], str]":
    """Return the dtype that numbers have, the one that they are written with, and its datatype."""
    source = np.dtype(dtype)
    target = np.dtype(DTYPES.get(declared, source))
    if not np.can_cast(source, target, "safe"):
        target = source
    if target.name not in DATATYPES:
        target = np.dtype("float64")
    return source, target, DATATYPES[target.name]


class Cells(AnswerColumn):
    """Numbers that are JSON already, since a row holds many: they are copied as they are."""

    def __init__(self, name: str, cells: list[bytes], shape: Sequence[int], declared: str) -> None:
        super().__init__(name, shape)
        self._cells = cells
        self.datatype = declared if declared in DTYPES else _of_written(cells[0] if cells else b"")

    def json(self, start: int, stop: int) -> bytes:
        """Return an array in arrays for each row."""
        return b",".join(self._cells[start:stop])

    def binary(self, start: int, stop: int) -> bytes:
        """Return numbers, NaN for null."""
        return b"".join(
            np.array(msgspec.json.decode(cell), DTYPES[self.datatype]).tobytes()
            for cell in self._cells[start:stop]
        )


class Items(AnswerColumn):
    """Numbers or booleans of which some may be missing."""

    def __init__(self, name: str, values: list[Any], datatype: str) -> None:
        super().__init__(name, ())
        self._values = values
        self.datatype = datatype

    def json(self, start: int, stop: int) -> bytes:
        """Return each, null where there is none."""
        return write(self._values[start:stop])[1:-1]

    def binary(self, start: int, stop: int) -> bytes:
        """Return each, NaN where there is none. Raise NotAcceptableError where that is no value."""
        some = self._values[start:stop]
        if None in some and not self.datatype.startswith("FP"):
            raise NotAcceptableError(
                f"the output {self.name!r} has rows without a value, which {self.datatype} can't "
                "say in binary: ask for it with binary_data false"
            )
        return np.array(some, DTYPES[self.datatype]).tobytes()


class Texts(AnswerColumn):
    """Texts, moments as RFC 3339, bytes, and JSON: whatever is written as BYTES."""

    def __init__(
        self, name: str, values: Sequence[Any], shape: Sequence[int], kind: str, first: int = 0
    ) -> None:
        """`values` begin with the row `first`."""
        super().__init__(name, shape)
        self._values = values
        self._first = first
        self.content_type = kind

    def _some(self, start: int, stop: int) -> list[Any]:
        """Return elements; None where there is none."""
        some: Iterable[Any] = self._values[start - self._first : stop - self._first]
        for _ in self.shape:
            some = chain.from_iterable(some)
        if self.content_type == "pd_json":
            return [None if value is None else write(value).decode() for value in some]
        return list(some)

    def json(self, start: int, stop: int) -> bytes:
        """Return strings; bytes are base64."""
        return write(self._some(start, stop))[1:-1]

    def binary(self, start: int, stop: int) -> bytes:
        """Return each with its length in front; none at all for what is missing."""
        parts: list[bytes] = []
        for value in self._some(start, stop):
            plain = value if isinstance(value, bytes) else b""
            if value is not None and not isinstance(value, bytes):
                told = value if isinstance(value, str) else msgspec.to_builtins(value)
                plain = str(told).encode("utf-8", "replace")
            parts += (_LENGTH.pack(len(plain)), plain)
        return b"".join(parts)


class WrittenTexts(AnswerColumn):
    """Texts, or values of any kind, that are JSON already."""

    def __init__(self, name: str, cells: list[bytes], *, are_texts: bool) -> None:
        super().__init__(name, ())
        self._cells = cells
        self._are_texts = are_texts
        self.content_type = "str" if are_texts else "pd_json"

    def json(self, start: int, stop: int) -> bytes:
        """Return strings, as they are or around the JSON."""
        some = self._cells[start:stop]
        if self._are_texts:
            return b",".join(some)
        return b",".join(cell if cell == b"null" else write(cell.decode()) for cell in some)

    def binary(self, start: int, stop: int) -> bytes:
        """Return each with its length in front."""
        parts: list[bytes] = []
        for cell in self._cells[start:stop]:
            plain = b"" if cell == b"null" else cell
            if self._are_texts and plain:
                plain = msgspec.json.decode(cell, type=str).encode("utf-8", "replace")
            parts += (_LENGTH.pack(len(plain)), plain)
        return b"".join(parts)


def answer_column(  # noqa: PLR0911 - one for each kind
    name: str, column: Column, dtype: str, shape: list[int], rows: range, declared: str
) -> AnswerColumn:
    """Return what writes a column, of which these rows are asked for.

    `declared` is the datatype that the model's description has, '' where it has none.
    """
    if dtype == WRITTEN and isinstance(column, list):
        return _written(name, column, shape, rows, declared)
    if dtype:
        if np.dtype(dtype).kind not in "mM":
            return Numbers(name, column, dtype, shape, declared)
        moments: Sequence[Any] = values_of(column, dtype, shape, rows.start, rows.stop)
        return Texts(name, moments, shape, "datetime", rows.start)
    values: list[Any] = column if isinstance(column, list) else list(column)
    some = values[rows.start : rows.stop]
    kinds = {type(value) for value in some} - {type(None)}
    if not kinds and declared in DTYPES:
        return Items(name, values, declared)
    if kinds <= {str}:
        return Texts(name, values, (), "str")
    if kinds == {bool}:
        return Items(name, values, "BOOL")
    if kinds == {bytes}:
        return Texts(name, values, (), "base64")
    if kinds == {int}:
        return _integers(name, values, some, declared)
    if kinds <= {int, float}:
        return Items(name, values, "FP64")
    return Texts(name, values, (), "pd_json")


def _integers(name: str, column: list[Any], some: list[Any], declared: str) -> AnswerColumn:
    there = [value for value in some if value is not None]
    least, most = min(there), max(there)
    fitting = (("INT32", _INT32),) if declared == "INT32" else ()
    for datatype, room in (*fitting, ("INT64", _INT64), ("UINT64", _UINT64)):
        if least in room and most in room:
            return Items(name, column, datatype)
    return Texts(name, column, (), "pd_json")


def _written(
    name: str, cells: list[bytes], shape: list[int], rows: range, declared: str
) -> AnswerColumn:
    if shape:
        return Cells(name, cells, shape, declared)
    some = [cell[:1] for cell in cells[rows.start : rows.stop] if cell != b"null"]
    return WrittenTexts(name, cells, are_texts=all(first == b'"' for first in some))


def _of_written(cell: bytes) -> str:
    """Tell the datatype of numbers by the JSON that one row of them is."""
    if b"true" in cell or b"false" in cell:
        return "BOOL"
    return "FP64" if b"." in cell or b"e" in cell or b"null" in cell else "INT64"
