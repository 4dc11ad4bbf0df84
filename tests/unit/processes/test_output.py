"""What a child prints, as lines."""

import os

from hypothesis import given
from hypothesis import strategies as st

from service.core.text import LINE_CHARACTERS
from service.processes.output import LineRate, LineSplitter, OutputReader


def splitter() -> LineSplitter:
    """Return one that takes any number of lines."""
    return LineSplitter(lambda: True)


@given(
    lines=st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=5),
    cuts=st.lists(st.integers(0, 60)),
)
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], cuts: list[int]) -> None:
    """Also the last one, which has no end."""
    stream, taken = b"\n".join(lines), splitter()
    found: list[bytes] = []
    begin = 0
    for cut in [*sorted(cuts), len(stream)]:
        found += [line for line, _ in taken.feed(stream[begin:cut])]
        begin = max(begin, cut)
    found += [line for line, _ in taken.end()]
    assert found == (lines[:-1] if lines and not lines[-1] else lines)


def test_a_long_line_is_kept_up_to_a_length() -> None:
    """It says how much more there was; the next line is whole."""
    taken = splitter()
    found = [line for _ in range(100) for line in taken.feed(b"x" * 10_000)]
    found += taken.feed(b"\nnext\n")
    assert found[1] == (b"next", 0)
    assert len(found[0][0]) == 4 * LINE_CHARACTERS
    assert found[0][1] == 1_000_000 - 4 * LINE_CHARACTERS


def test_what_comes_too_fast_is_counted() -> None:
    """After a burst so many a second are shown, and the time of others is left to them."""
    now_s = [0.0]
    lines = LineSplitter(LineRate(lambda: now_s[0]).allows_a_line)
    shown = sum(1 for _ in lines.feed(b"x\n" * 10_000))
    assert shown == 2_000
    assert lines.left_out == 8_000
    now_s[0] = 0.1
    assert sum(1 for _ in lines.feed(b"x\n" * 10_000)) == 20


def test_a_printed_line_is_logged_short_printable_and_without_credentials() -> None:
    """And kept so, for what is told once the child has ended."""
    told: list[str] = []
    reader = OutputReader(told.append)
    writer = reader.end.fileno()
    os.write(writer, b"at http://u:s3cret@h \x1b[2J\xff\n" + b"y" * 20_000 + b"\n\n last ")
    reader.end.close()
    reader.read_lines()
    assert told[0] == "at http://***@h \\x1b[2J\ufffd"
    assert len(told[1]) <= LINE_CHARACTERS
    assert told[2] == " last"
    assert list(reader.last_lines) == told
