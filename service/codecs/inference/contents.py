"""The elements of a tensor in fields of their type, `inference.InferTensorContents`."""

from typing import Any

import numpy as np

from service.codecs.bounds import Bounds
from service.codecs.inference import wire
from service.codecs.inference.datatypes import BYTES, DTYPES
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError

Array = np.ndarray[Any, Any]

_FIELDS = {
    1: ("bool_contents", wire.VARINT),
    2: ("int_contents", wire.VARINT),
    3: ("int64_contents", wire.VARINT),
    4: ("uint_contents", wire.VARINT),
    5: ("uint64_contents", wire.VARINT),
    6: ("fp32_contents", wire.FIXED32),
    7: ("fp64_contents", wire.FIXED64),
    8: ("bytes_contents", wire.LENGTH),
}
"""Each field's name, and how one of its elements is written."""
_FIELD_OF = {
    "BOOL": 1,
    **dict.fromkeys(("INT8", "INT16", "INT32"), 2),
    "INT64": 3,
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), 4),
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    BYTES: 8,
}
"""FP16 and BF16 have no field: they are raw alone."""
_ITEM_BYTES = {wire.VARINT: 1, wire.FIXED32: 4, wire.FIXED64: 8, wire.LENGTH: 1}
_TEXT_BYTES = 48
"""What a text takes in memory beside its bytes."""


class Contents:
    """What stands in the contents of one input; it is read once its datatype and count are known.

    A field may come in several parts: numbers packed into one, or each by itself. It is true where
    there is any element.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts: dict[int, list[tuple[int, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, start: int, stop: int) -> None:
        """Add what stands there; a message in parts is one. Raise MalformedBodyError."""
        for number, kind, at, end in wire.fields(self._data, start, stop):
            name, single = _FIELDS.get(number, ("", -1))
            if not name or kind not in {single, wire.LENGTH}:
                continue
            if single != wire.LENGTH and at == end:
                continue
            if (end - at) % _ITEM_BYTES[single]:
                raise MalformedBodyError(f"{name} ends in the midst of an element")
            self._parts.setdefault(number, []).append((at, end))

    def elements(self, path: str, datatype: str, count: int, bounds: Bounds) -> Array | list[bytes]:
        """Return `count` elements of this datatype, numbers as wide as their field is.

        Raise ContractViolationError, MalformedBodyError and BodyTooLargeError.
        """
        number = _FIELD_OF.get(datatype)
        if number is None:
            wanted = f"{datatype} in raw_input_contents, which alone has it"
            raise ContractViolationError(path, None, wanted, "contents")
        name, kind = _FIELDS[number]
        for other in self._parts:
            if other != number:
                raise ContractViolationError(
                    path, None, f"{name} for {datatype}", _FIELDS[other][0]
                )
        parts = self._parts.get(number, [])
        if datatype == BYTES:
            self._check_count(path, len(parts), count)
            size = sum(end - at for at, end in parts)
            if count * _TEXT_BYTES + size > bounds.decoded_bytes:
                raise BodyTooLargeError(
                    f"{path} takes over {bounds.decoded_bytes} bytes once it is decoded"
                )
            return [self._data[at:end] for at, end in parts]
        found = self._numbers(parts, datatype, kind)
        self._check_count(path, len(found), count)
        return found

    def _numbers(self, parts: list[tuple[int, int]], datatype: str, kind: int) -> Array:
        view = memoryview(self._data)
        if len(parts) == 1:
            data = view[slice(*parts[0])]
        else:
            data = memoryview(b"".join([view[at:end] for at, end in parts]))
        if kind != wire.VARINT:
            return np.frombuffer(data, DTYPES[datatype])
        if datatype == "BOOL":
            truths: Array = wire.varints(data, "uint64") != 0
            return truths
        return wire.varints(data, "uint64" if datatype[0] == "U" else "int64")

    @staticmethod
    def _check_count(path: str, found: int, count: int) -> None:
        if found != count:
            wanted = f"{count} elements, as its shape has"
            raise ContractViolationError(path, None, wanted, f"{found}")
