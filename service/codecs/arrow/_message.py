"""Look into the header of an Arrow IPC message: how many rows, and how large once decompressed.

pyarrow hands out the header and does not tell what is in it, and by the time it has read the
message a small body may have become a huge one. The header is a flatbuffer: a table is the
distance to its vtable, which holds a field's distance from the table, 0 where it is not there.
Field numbers are those of `Message.fbs` in Arrow's format, version 1.5.
"""

import struct
from typing import NamedTuple

_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_NOT_COMPRESSED = -1


class Announced(NamedTuple):
    """What a message says that it holds: rows of a record batch, and bytes of all its buffers."""

    rows: int
    decoded_bytes: int


def announced(header: bytes, body: memoryview) -> Announced:
    """Return what a message announces. Raise ValueError or struct.error for what is no message."""
    message = _Table(header, _u32(header, 0))
    kind, batch = message.u8(1), message.table(2)
    is_batch = kind == _RECORD_BATCH
    if kind == _DICTIONARY_BATCH:
        batch = batch.table(1) if batch else None
    elif not is_batch:
        return Announced(0, 0)
    if batch is None:
        raise ValueError("a batch without a header")
    rows = batch.i64(0)
    if rows < 0:
        raise ValueError("a batch of less than no rows")
    compressed = batch.table(3) is not None
    size = sum(
        _decoded(body, offset, length) if compressed else max(length, 0)
        for offset, length in batch.pairs(2)
    )
    return Announced(rows if is_batch else 0, size)


def _decoded(body: memoryview, offset: int, length: int) -> int:
    """Return the size that a compressed buffer says it had before: its first eight bytes."""
    if length <= 0:
        return 0
    if offset < 0:
        raise ValueError("a buffer before its message")
    (size,) = struct.unpack_from("<q", body, offset)
    return length if size == _NOT_COMPRESSED else max(int(size), 0)


class _Table:
    """A flatbuffer's table."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._vtable = at - struct.unpack_from("<i", data, at)[0]
        if not 0 <= self._vtable < len(data):
            raise ValueError("a table without fields")
        self._vtable_bytes = struct.unpack_from("<H", data, self._vtable)[0]

    def u8(self, field: int) -> int:
        at = self._field(field)
        return int(struct.unpack_from("<B", self._data, at)[0]) if at else 0

    def i64(self, field: int) -> int:
        at = self._field(field)
        return int(struct.unpack_from("<q", self._data, at)[0]) if at else 0

    def table(self, field: int) -> "_Table | None":
        at = self._field(field)
        return _Table(self._data, at + _u32(self._data, at)) if at else None

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of structs of two int64."""
        at = self._field(field)
        if not at:
            return []
        at += _u32(self._data, at)
        flat = struct.unpack_from(f"<{2 * _u32(self._data, at)}q", self._data, at + 4)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _field(self, number: int) -> int:
        """Return where a field lies, 0 where it is not there."""
        slot = 4 + 2 * number
        if slot + 2 > self._vtable_bytes:
            return 0
        distance = struct.unpack_from("<H", self._data, self._vtable + slot)[0]
        return self._at + int(distance) if distance else 0


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
