"""Read the elements of a tensor, JSON or binary, as one flat array or list in row-major order."""

import re
import struct
import types
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from service.codecs.bounds import Bounds
from service.codecs.inference.datatypes import BF16, BYTES, DTYPES, IN_JSON, KNOWN
from service.codecs.inference.request import Sent, TypedElements
from service.contracts.faults import Fault, decode, first_index, violation, violation_in
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError

Elements = np.ndarray[Any, Any] | list[Any]
"""Numbers as an array, texts or bytes as a list; a list of numbers where some are null."""

MOST_DIMENSIONS = 16
_NESTED = re.compile(rb"\s*\[\s*\[")
_LENGTH = struct.Struct("<I")
_TEXT_BYTES = 48
"""What an element of BYTES takes in memory beside its bytes."""
_WIDE = {"B": "bool", "I": "int64", "U": "uint64", "F": "float64"}
"""The dtype that holds JSON's numbers of a datatype, by its first letter."""


class Read:
    """A tensor's elements, with what is needed to say where one stands."""

    __slots__ = ("datatype", "elements", "in_json", "name", "rows", "shape")

    def __init__(self, sent: Sent, bounds: Bounds, *, nulls: bool, listed: str = "") -> None:
        """Read them. Raise ContractViolationError, MalformedBodyError and BodyTooLargeError.

        JSON may have nulls where `nulls` says so. Of the datatype `listed` it stays a list.
        """
        tensor = sent.tensor
        self.elements: Elements
        self.name = tensor.name
        self.datatype = tensor.datatype
        self.shape = tensor.shape
        if tensor.datatype not in KNOWN:
            path = f"inputs.{tensor.name}.datatype"
            raise violation(path, f"one of {', '.join(KNOWN)}", tensor.datatype)
        count = self._count(bounds)
        self.rows = tensor.shape[0]
        self.in_json = sent.binary is None and sent.contents is None
        if sent.binary is not None:
            self.elements = self._from_binary(sent.binary, count, bounds)
        elif sent.contents is not None:
            self.elements = self._from_contents(sent.contents, count, bounds)
        else:
            self.elements = self._from_json(tensor.data, count, listed, nulls=nulls)

    @property
    def a_row(self) -> int:
        """How many elements a row has."""
        return len(self.elements) // self.rows

    def path(self, row: int) -> str:
        """Return the place of a row."""
        return f"inputs.{self.name}[{row}]"

    def _count(self, bounds: Bounds) -> int:
        """Return how many elements the shape has."""
        if not 1 <= len(self.shape) <= MOST_DIMENSIONS:
            wanted, got = f"1 to {MOST_DIMENSIONS} dimensions", f"{len(self.shape)} dimensions"
            raise ContractViolationError(f"inputs.{self.name}.shape", None, wanted, got)
        count = 1
        for size in self.shape:
            if size < 1:
                wanted = "dimensions of at least 1, the first for rows"
                raise violation(f"inputs.{self.name}.shape", wanted, size)
            count *= size
            if count > bounds.decoded_bytes:
                raise BodyTooLargeError(
                    f"inputs.{self.name}.shape has over {bounds.decoded_bytes} elements, which no "
                    "body of this size holds"
                )
        bounds.check_rows(self.shape[0])
        return count

    def _from_json(self, data: Any, count: int, listed: str, *, nulls: bool) -> Elements:
        if self.datatype == BF16:
            path = f"inputs.{self.name}"
            raise ContractViolationError(
                path, None, "BF16 as binary data, which alone it has", "JSON"
            )
        depth = len(self.shape) if _is_nested(data) else 1

        def explain(fault: Fault, _: Any) -> ContractViolationError:
            at = first_index(fault.place)
            row = at if at is None or depth > 1 else at * self.rows // count
            return violation_in(
                fault._replace(place=""),
                f"inputs.{self.name}" if row is None else self.path(row),
                row,
            )

        values = decode(_decoder(self.datatype, depth, nulls), data, explain=explain)
        if depth > 1:
            values = self._flat(values)
        if len(values) != count:
            wanted = f"{count} elements, as its shape has"
            raise ContractViolationError(f"inputs.{self.name}", None, wanted, f"{len(values)}")
        if self.datatype in (BYTES, listed) or None in values:
            return values
        return self._array(values)

    def _flat(self, values: list[Any]) -> list[Any]:
        """Return what is nested in the tensor's shape as one list."""
        if len(values) != self.rows:
            wanted = f"{self.rows} rows, as its shape has"
            raise ContractViolationError(f"inputs.{self.name}", None, wanted, f"{len(values)}")
        for size in self.shape[1:]:
            lengths = [len(value) for value in values]
            if set(lengths) != {size}:
                at = next(at for at, length in enumerate(lengths) if length != size)
                row = at * self.rows // len(values)
                wanted, got = f"arrays of {size}, as its shape has", f"one of {lengths[at]}"
                raise ContractViolationError(self.path(row), row, wanted, got)
            values = list(chain.from_iterable(values))
        return values

    def _array(self, values: list[Any]) -> Elements:
        try:
            return np.array(values, _WIDE[self.datatype[0]])
        except OverflowError:  # an UINT64 alone: its bound is beyond msgspec's
            at = next(at for at, value in enumerate(values) if value >= 2**64)
            row = at * self.rows // len(values)
            raise violation(
                self.path(row), "an integer that fits 64 bits", values[at], row
            ) from None

    def _from_binary(self, data: memoryview, count: int, bounds: Bounds) -> Elements:
        if self.datatype == BYTES:
            return self._texts(data, count, bounds)
        dtype = np.dtype("uint16" if self.datatype == BF16 else DTYPES[self.datatype])
        if len(data) != count * dtype.itemsize:
            raise MalformedBodyError(
                f"inputs.{self.name}: {count} elements of {self.datatype} are "
                f"{count * dtype.itemsize} bytes, and {len(data)} came"
            )
        found = np.frombuffer(data, dtype)
        if self.datatype == BF16:
            return (found.astype(np.uint32) << 16).view(np.float32)
        if self.datatype == "BOOL":
            wrong = np.frombuffer(data, np.uint8) > 1
            if wrong.any():
                row = int(wrong.argmax()) * self.rows // count
                raise ContractViolationError(self.path(row), row, "0 or 1 for BOOL", "another byte")
        return found

    def _from_contents(self, contents: TypedElements, count: int, bounds: Bounds) -> Elements:
        found = contents.elements(f"inputs.{self.name}", self.datatype, count, bounds)
        if isinstance(found, list) or found.dtype == DTYPES[self.datatype]:
            return found
        # Several datatypes share a field that is wider than they are.
        limits = np.iinfo(DTYPES[self.datatype])
        wrong = (found < limits.min) | (found > limits.max)
        if wrong.any():
            at = int(wrong.argmax())
            row = at * self.rows // count
            expected = f"an integer that fits {self.datatype}"
            raise violation(self.path(row), expected, found[at].item(), row)
        return found.astype(DTYPES[self.datatype])

    def _texts(self, data: memoryview, count: int, bounds: Bounds) -> list[bytes]:
        """Read BYTES: before each element its length, as four bytes."""
        if count * _LENGTH.size > len(data):
            raise MalformedBodyError(
                f"inputs.{self.name}: {count} elements of BYTES have {count * _LENGTH.size} bytes "
                f"at least, and {len(data)} came"
            )
        if count * _TEXT_BYTES + len(data) > bounds.decoded_bytes:
            raise BodyTooLargeError(
                f"inputs.{self.name} takes over {bounds.decoded_bytes} bytes once it is decoded"
            )
        found: list[bytes] = []
        at, end = 0, len(data)
        raw = bytes(data)
        while at + _LENGTH.size <= end and len(found) < count:
            (size,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size
            if at + size > end:
                break
            found.append(raw[at : at + size])
            at += size
        if len(found) != count or at != end:
            row = min(self.rows - 1, len(found) * self.rows // count)
            raise MalformedBodyError(
                f"{self.path(row)}: the lengths in front of its elements are not those of {count} "
                f"elements in {end} bytes"
            )
        return found


def _is_nested(data: Any) -> bool:
    """Tell whether an array has arrays."""
    return _NESTED.match(memoryview(data)) is not None


@lru_cache(maxsize=512)
def _decoder(datatype: str, depth: int, nulls: bool) -> "msgspec.json.Decoder[list[Any]]":  # noqa: FBT001 - of a cache
    kind = IN_JSON[datatype]
    if nulls:
        kind = kind | None
    for _ in range(depth):
        kind = types.GenericAlias(list, (kind,))
    return msgspec.json.Decoder(kind)
