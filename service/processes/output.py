"""A child's stdout and stderr, as lines in our log."""

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol

from service import windows
from service.core.text import LINE_CHARACTERS, presentable
from service.windows import PlainPipeEnd

KEPT_LINES = 50
_CHUNK_BYTES = 65_536
_LINE_BYTES = 4 * LINE_CHARACTERS
"""Of a line: what is kept until its end comes; no character of UTF-8 has more than four."""
_LINES_A_SECOND = 200
_BURST_LINES = 2_000
"""So many lines may come together; what is printed faster is counted, and not shown."""
_SILENT_MS = 1_000
_BYTES_A_SECOND = 16_000_000
"""A child that prints faster waits for us: else reading it would take the time of all others."""


class OutputEnd(Protocol):
    """The child's end: travels to it at its start."""

    def take_over(self) -> None:
        """Make this process's stdout and stderr write here."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def close(self) -> None:
        """Close the server process's copy, so that the child's end is the last one."""


class InheritedOutput:
    """What a child that was started by command line has as its stdout from the beginning."""

    def take_over(self) -> None:
        """Have what Python prints go there line by line."""
        _replace_standard_streams(self.fileno())

    def fileno(self) -> int:
        """Return the descriptor."""
        return 1

    def close(self) -> None:
        """Leave it open: it is this process's own."""


class PipeEnd:
    """The write end of a pipe, which knows how to travel: a Connection, mostly."""

    def __init__(self, end: "Connection[Any, Any] | PlainPipeEnd") -> None:
        self._end = end

    def take_over(self) -> None:
        """Make this process's stdout and stderr write here."""
        _replace_standard_streams(self._end.fileno())
        self._end.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._end.fileno()

    def close(self) -> None:
        """Close the server process's copy."""
        self._end.close()


def _replace_standard_streams(descriptor: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


class OutputReader:
    """The server process's end: hands over each line, and keeps the last ones.

    `read_lines` blocks and belongs into a thread.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.end: OutputEnd
        self._on_line = on_line
        plain = windows.plain_pipe()
        if plain is not None:
            self._descriptor, write_end = plain
            self.end = PipeEnd(write_end)
        else:
            reader, writer = Pipe(duplex=False)
            self._descriptor = os.dup(reader.fileno())
            reader.close()
            self.end = PipeEnd(writer)

    def read_lines(self) -> None:
        """Read until the child's last copy of its end is closed."""
        rate = LineRate(time.monotonic)
        lines = LineSplitter(rate.allows_a_line)
        while chunk := self._read():
            for line in lines.feed(chunk):
                self._take(*line)
            if lines.left_out and (rate.allows_a_line() or self._is_silent()):
                self._tell_left_out(lines)
            if len(chunk) == _CHUNK_BYTES:
                time.sleep(_CHUNK_BYTES / _BYTES_A_SECOND)
        for line in lines.end():
            self._take(*line)
        self._tell_left_out(lines)
        os.close(self._descriptor)

    def close(self) -> None:
        """Close the server process's end, where nothing was started that could write to it."""
        os.close(self._descriptor)

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._descriptor, _CHUNK_BYTES)
        return b""

    def _is_silent(self) -> bool:
        """Wait for more for a moment, and tell whether there is none."""
        if not windows.polls_pipes():
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not poll.poll(_SILENT_MS)

    def _take(self, line: bytes, dropped_bytes: int) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        text = presentable(text, LINE_CHARACTERS, unread=dropped_bytes)
        if text:
            self.last_lines.append(text)
            self._on_line(text)

    def _tell_left_out(self, lines: "LineSplitter") -> None:
        if lines.left_out:
            self._on_line(f"({lines.left_out} lines that came too fast are left out)")
            lines.left_out = 0


class LineSplitter:
    """Cuts a stream into lines; of a long one the beginning is kept, and how much there was.

    `allows_a_line` is asked before each; the rest of a chunk is counted where it says no.
    """

    def __init__(self, allows_a_line: Callable[[], bool]) -> None:
        self._allows_a_line = allows_a_line
        self._kept = bytearray()
        self._dropped_bytes = 0
        self.left_out = 0
        """How many lines were counted alone."""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the lines that a chunk ends, each with the number of bytes that were not kept."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if not self._allows_a_line():
                self.left_out += chunk.count(b"\n", start)
                self._line()
                start = chunk.rfind(b"\n") + 1
                break
            self._keep(chunk, start, end)
            yield self._line()
            start = end + 1
        self._keep(chunk, start, len(chunk))

    def end(self) -> Iterator[tuple[bytes, int]]:
        """Yield what is left, a line without an end, if there is one."""
        if self._kept:
            yield self._line()

    def _keep(self, chunk: bytes, start: int, end: int) -> None:
        room = max(0, _LINE_BYTES - len(self._kept))
        self._kept += chunk[start : min(end, start + room)]
        self._dropped_bytes += max(0, end - start - room)

    def _line(self) -> tuple[bytes, int]:
        line = (bytes(self._kept), self._dropped_bytes)
        self._kept.clear()
        self._dropped_bytes = 0
        return line


class LineRate:
    """Limits how fast lines are shown."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = float(_BURST_LINES)
        self._seen_s = clock()

    def allows_a_line(self) -> bool:
        """Tell whether one more line may be shown now, and count it."""
        if self._left < 1:
            now_s = self._clock()
            self._left = min(_BURST_LINES, self._left + (now_s - self._seen_s) * _LINES_A_SECOND)
            self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
