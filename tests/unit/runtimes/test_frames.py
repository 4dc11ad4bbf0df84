import os
import struct
import threading
from multiprocessing.connection import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.runtimes.frames import FrameReader, framed, write_all, write_now


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


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 3_000_000])
def test_a_connection_reads_what_is_written(size: int, *, blocking: bool) -> None:
    """Whole, even into a pipe that is full and does not block."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), blocking)
    frame = os.urandom(size)
    writer = threading.Thread(target=write_all, args=(ours.fileno(), framed(frame)))
    with ours, theirs:
        writer.start()
        assert theirs.recv_bytes() == frame
        writer.join()


def test_what_a_full_pipe_does_not_take_is_left() -> None:
    """Without waiting; the rest follows once there is room."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), False)
    data = os.urandom(3_000_000)
    with ours, theirs:
        rest = write_now(ours.fileno(), framed(data))
        assert 0 < len(rest) < len(data)
        assert write_now(ours.fileno(), rest) == rest
        writer = threading.Thread(target=write_all, args=(ours.fileno(), rest))
        writer.start()
        assert theirs.recv_bytes() == data
        writer.join()


def test_a_broken_pipe_is_told() -> None:
    """However full it is."""
    ours, theirs = Pipe()
    os.set_blocking(ours.fileno(), False)
    with ours:
        writing: list[Exception] = []

        def write() -> None:
            try:
                write_all(ours.fileno(), framed(bytes(3_000_000)))
            except OSError as error:
                writing.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        assert theirs.poll(10)
        theirs.close()
        writer.join(10)
        assert len(writing) == 1
