import os
import select
import struct
import threading
from multiprocessing.connection import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.processes.frames import (
    MAX_FRAME_BYTES,
    FrameReader,
    MalformedFrameError,
    framed,
    write_now,
)


def written(*frames: bytes) -> bytes:
    """Return frames as multiprocessing's connections write them."""
    return b"".join(struct.pack("!i", len(frame)) + frame for frame in frames)


@given(frames=st.lists(st.binary(max_size=20), max_size=6), data=st.data())
def test_frames_arrive_whole_however_they_are_cut(frames: list[bytes], data: st.DataObject) -> None:
    """Bytes come in pieces of any size, several frames in one or one in several."""
    stream = written(*frames)
    reader = FrameReader()
    got: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == frames


def test_a_frame_comes_with_its_last_byte() -> None:
    """Not with the next frame's first."""
    reader = FrameReader()
    stream = written(b"abc")
    assert reader.feed(stream[:-1]) == []
    assert reader.feed(stream[-1:]) == [b"abc"]
    assert reader.feed(written(b"")) == [b""]


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_long_frame_has_a_long_size(cut: int) -> None:
    """From 2 GiB on the size is -1 and eight bytes more."""
    stream = struct.pack("!iQ", -1, 3) + b"abc" + written(b"next")
    reader = FrameReader()
    assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == [b"abc", b"next"]


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!i", -2),
        struct.pack("!i", -(2**31)),
        struct.pack("!i", MAX_FRAME_BYTES + 1),
        struct.pack("!iQ", -1, MAX_FRAME_BYTES + 1),
        struct.pack("!iQ", -1, 2**64 - 1),
    ],
)
def test_a_size_that_no_frame_has_ends_the_stream(head: bytes) -> None:
    """Below zero it would never be over, and what is too large nobody could hold."""
    reader = FrameReader()
    with pytest.raises(MalformedFrameError):
        reader.feed(written(b"before") + head)


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 3_000_000])
def test_a_connection_reads_what_is_written(size: int) -> None:
    """Whole, however often the pipe was full, and from however many pieces."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), False)
    data = os.urandom(size)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(theirs.recv_bytes()))
    with ours, theirs:
        reader.start()
        rest = framed([data[:1], b"", data[1:]])
        while rest := write_now(ours.fileno(), rest):
            select.select([], [ours.fileno()], [], 10)
        reader.join(10)
    assert got == [data]


def test_what_a_full_pipe_does_not_take_is_left() -> None:
    """Without waiting, and whole."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), False)
    data = os.urandom(3_000_000)
    with ours, theirs:
        rest = write_now(ours.fileno(), framed([data]))
        left = b"".join(rest)
        assert 0 < len(left) < len(data)
        assert data.endswith(left)
        assert b"".join(write_now(ours.fileno(), rest)) == left


def test_a_broken_pipe_is_told() -> None:
    """By the system's own error."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), False)
    with ours:
        theirs.close()
        with pytest.raises(BrokenPipeError):
            write_now(ours.fileno(), framed([b"abc"]))
