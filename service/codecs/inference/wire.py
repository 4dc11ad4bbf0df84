"""Protobuf's wire format: the fields of a message, one after another, and numbers among them.

Read here rather than by protobuf's own library: a worker has that of its model's environment, of
whatever release, and it copies what is only looked at here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from service.core.errors import MalformedBodyError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How a field's value is written; 3 and 4 are groups, which nothing has sent for years."""

Field = tuple[int, int, int, int]
"""A field's number, how it is written, and where its value begins and ends."""

MORE = 0x80
"""The bit of a byte that says that its number goes on: one below it is whole."""
_KEY_BITS = 3
_VARINT_BYTES = 10
_SIZES = {FIXED64: 8, FIXED32: 4}
_CHUNK_BYTES = 65_536
"""So many bytes of numbers are read together; each takes some 40 bytes meanwhile."""
_BELOW_2_64 = 2**64 - 1


def fields(data: bytes, at: int, stop: int) -> Iterator[Field]:
    """Give each field of the message that stands there. Raise MalformedBodyError."""
    while at < stop:
        key = data[at]
        at += 1
        if key >= MORE:
            key, at = varint(data, at - 1, stop)
        kind = key & 7
        if kind == LENGTH:
            if at >= stop:
                raise cut()
            size = data[at]
            at += 1
            if size >= MORE:
                size, at = varint(data, at - 1, stop)
            start, at = at, at + size
        elif kind == VARINT:
            start, (_, at) = at, varint(data, at, stop)
        elif kind in _SIZES:
            start, at = at, at + _SIZES[kind]
        else:
            raise MalformedBodyError("the message has a field that is written in no known way")
        if at > stop:
            raise cut()
        number = key >> _KEY_BITS
        if not number:
            raise MalformedBodyError("the message has a field of number 0, which there is none of")
        yield number, kind, start, at


def varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Return the number that begins there, of 64 bits without a sign, and where it ends."""
    value = 0
    for index in range(min(_VARINT_BYTES, stop - at)):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < MORE:
            return value & _BELOW_2_64, at + index + 1
    raise cut()


def signed(value: int) -> int:
    """Return the number with a sign that has these 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def varints(data: memoryview, dtype: str) -> "np.ndarray[Any, Any]":
    """Return all numbers that stand there, 64 bits each, as `dtype`: int64 or uint64.

    Raise MalformedBodyError where the last one is cut, or one is too long.
    """
    whole = np.frombuffer(data, np.uint8)
    found = np.empty(np.count_nonzero(whole < MORE), dtype)
    at = count = 0
    while at < len(whole):
        some = whole[at : at + _CHUNK_BYTES]
        ends = np.flatnonzero(some < MORE)
        if not len(ends):
            raise cut()
        some = some[: ends[-1] + 1]
        at += len(some)
        here = found[count : count + len(ends)]
        count += len(ends)
        if len(ends) == len(some):
            here[:] = some
            continue
        starts = np.concatenate(([0], ends[:-1] + 1))
        sizes = ends - starts + 1
        if sizes.max() > _VARINT_BYTES:
            raise cut()
        places = np.arange(len(some)) - np.repeat(starts, sizes)
        bits = (some & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
        here.view("uint64")[:] = np.add.reduceat(bits, starts)
    return found


def text_of(data: bytes, start: int, stop: int, what: str) -> str:
    """Return a string. Raise MalformedBodyError where it is not UTF-8."""
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError:
        raise MalformedBodyError(f"{what} is not UTF-8") from None


def cut() -> MalformedBodyError:
    """Return the error for what ends too early."""
    return MalformedBodyError("the message ends, or a part of it does, in the midst of a field")


# -- writing --------------------------------------------------------------------------------------


def field(number: int, value: bytes) -> bytes:
    """Write a field of a number up to 15, with its length in front."""
    size = len(value)
    if size < MORE:
        return bytes((number << _KEY_BITS | LENGTH, size)) + value
    return bytes((number << _KEY_BITS | LENGTH,)) + varint_of(size) + value


def varint_of(value: int) -> bytes:
    """Write a number of 64 bits without a sign."""
    parts = bytearray()
    while value >= MORE:
        parts.append(value & 0x7F | MORE)
        value >>= 7
    parts.append(value)
    return bytes(parts)
