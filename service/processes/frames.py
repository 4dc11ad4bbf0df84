"""Frames on a pipe whose other end is a connection of multiprocessing's in another process.

A frame is its size (`!i`; or -1 and the size as `!Q` from 2 GiB on) and so many bytes: see
`Connection._send_bytes` in CPython's multiprocessing/connection.py, unchanged since 3.3.
"""

import os
import struct
from collections.abc import Sequence

_SIZE = struct.Struct("!i")
_LONG_SIZE = struct.Struct("!Q")
_LONG = -1
_LONG_FROM = 2**31
MAX_FRAME_BYTES = 2**30
"""A larger frame is refused: it would have to be held whole before anybody could look at it."""


class MalformedFrameError(ValueError):
    """A stream that is none of frames: what follows can't be told apart any more."""


class FrameReader:
    """Takes frames out of a stream as its bytes arrive, without waiting for the rest of one."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = _SIZE.size

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete, in order.

        Raise MalformedFrameError for a size that no frame may have; the reader is of no use then.
        """
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._wanted_bytes:
            # Parts are joined once a frame is whole: joining at each arrival would copy a large
            # one over and over.
            return []
        buffer = b"".join(self._parts) if len(self._parts) > 1 else data
        frames: list[bytes] = []
        start = 0
        while True:
            begin, end = _bounds(buffer, start)
            if end > len(buffer):
                break
            frames.append(buffer[begin:end])
            start = end
        rest = buffer[start:]
        self._parts = [rest] if rest else []
        self._held_bytes = len(rest)
        self._wanted_bytes = end - start
        return frames


def _bounds(buffer: bytes, start: int) -> tuple[int, int]:
    """Return where the next frame's bytes begin and end; its head, if that is not whole yet."""
    begin = start + _SIZE.size
    if len(buffer) < begin:
        return start, begin
    (size,) = _SIZE.unpack_from(buffer, start)
    if size == _LONG:
        begin += _LONG_SIZE.size
        if len(buffer) < begin:
            return start, begin
        (size,) = _LONG_SIZE.unpack_from(buffer, begin - _LONG_SIZE.size)
    if not 0 <= size <= MAX_FRAME_BYTES:
        raise MalformedFrameError(f"a frame of {size} bytes")
    return begin, begin + size


def framed(data: Sequence[bytes]) -> list[memoryview]:
    """Return the frame that holds these bytes, one after the other; none of them is copied."""
    size = sum(map(len, data))
    head = _SIZE.pack(size) if size < _LONG_FROM else _SIZE.pack(_LONG) + _LONG_SIZE.pack(size)
    return [memoryview(piece) for piece in (head, *data) if piece]


def write_now(descriptor: int, pieces: list[memoryview]) -> list[memoryview]:
    """Write what a non-blocking pipe takes now, and return the rest.

    Not by the connection's own `send_bytes`, which would fail in the middle of a frame that the
    pipe does not hold. Raise OSError where the pipe is broken.
    """
    rest = pieces
    while rest:
        try:
            written = os.writev(descriptor, rest)
        except BlockingIOError:
            break
        while rest and written >= len(rest[0]):
            written -= len(rest[0])
            rest = rest[1:]
        if written:
            rest = [rest[0][written:], *rest[1:]]
    return rest
