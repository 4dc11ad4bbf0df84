"""Lines go out immediately, and nothing waits for whatever reads them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from service.telemetry.line_writer import MOST_PENDING_BYTES, LineWriter

LIMIT_S = 10.0
ENOUGH_BYTES = 3 * MOST_PENDING_BYTES


def lost_line(count: int) -> bytes:
    """Say so."""
    return b"lost %d\n" % count


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give the ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def read_until(reader: int, end: bytes) -> bytes:
    """Read until this is in what came."""
    read = b""
    while end not in read:
        read += os.read(reader, 65_536)
    return read


def test_a_line_is_out_when_the_call_returns(pipe: tuple[int, int]) -> None:
    """As long as there is room for it: a process that dies next has told why."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, lost_line)
    threads = threading.active_count()
    for number in range(10):
        writer.write(b"line %d\n" % number)
        assert os.read(reader, 100) == b"line %d\n" % number
    assert threading.active_count() == threads


@pytest.mark.parametrize("soon", [False, True])
def test_a_pipe_that_nobody_reads_holds_up_nobody(pipe: tuple[int, int], *, soon: bool) -> None:
    """What is too much is counted, and told in its place; every line that comes is whole."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, lost_line)
    write = writer.write_soon if soon else writer.write
    line = b"x" * 999 + b"\n"
    total = ENOUGH_BYTES // len(line)
    began_s = time.monotonic()
    longest_s = 0.0
    for _ in range(total):
        one_s = time.monotonic()
        write(line)
        longest_s = max(longest_s, time.monotonic() - one_s)
    assert time.monotonic() - began_s < LIMIT_S
    assert longest_s < 1.0
    assert not writer.flush(0.01)
    read = b""
    while not read.count(b"lost"):
        read += os.read(reader, 65_536)
    write(b"end\n")
    read += read_until(reader, b"end\n")
    *lines, last = read.splitlines()
    lost = sum(int(one.split()[1]) for one in lines if one.startswith(b"lost"))
    whole = [one for one in lines if not one.startswith(b"lost")]
    assert set(whole) == {line[:-1]}
    assert lost > 0
    assert len(whole) + lost == total
    assert writer.lost_lines == lost
    assert last == b"end"
    assert writer.flush(LIMIT_S)


def test_many_threads_write_whole_lines(pipe: tuple[int, int]) -> None:
    """Longer ones than a pipe takes in one piece, to a reader that is slow."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, lost_line)
    lines = [bytes([letter]) * 20_000 + b"\n" for letter in b"abcd"]

    def write(line: bytes) -> None:
        for _ in range(5):
            writer.write(line)
            writer.write_soon(line[:10] + b"\n")

    threads = [threading.Thread(target=write, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    read = b""
    while read.count(b"\n") < 40:
        read += os.read(reader, 10_000)
    for thread in threads:
        thread.join(LIMIT_S)
    expected = [line[:-1] for line in lines for _ in range(5)]
    expected += [line[:10] for line in lines for _ in range(5)]
    assert sorted(read.splitlines()) == sorted(expected)


def test_a_reader_that_is_gone_costs_its_lines_alone(pipe: tuple[int, int]) -> None:
    """Nothing raises, and nothing is kept."""
    reader, descriptor = pipe
    writer = LineWriter(descriptor, lost_line)
    gone = os.dup(reader)
    os.close(gone)
    os.dup2(os.open(os.devnull, os.O_RDONLY), reader)
    for _ in range(100):
        writer.write(b"x" * 100_000 + b"\n")
        writer.write_soon(b"y\n")
    assert writer.flush(LIMIT_S)


LOGGING = """
import sys, logging, structlog
from service.telemetry.logging import configure_logging
configure_logging("info", "json")
for number in range(3_000):
    structlog.get_logger("x").info("y" * 900, number=number)
    logging.getLogger("z").warning("w")
print("done", flush=True)
"""


def test_a_process_whose_log_nobody_reads_goes_on_and_ends() -> None:
    """By the whole pipeline: 3 MB of lines into a pipe of 64 kB, and an exit within its limit."""
    with subprocess.Popen(
        [sys.executable, "-c", LOGGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"done\n"
        assert process.wait(LIMIT_S) == 0
        lines = process.stderr.read().splitlines()
    assert [json.loads(line)["number"] for line in lines[:3:2]] == [0, 1]
