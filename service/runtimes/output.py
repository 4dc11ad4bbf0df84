"""A child's stdout and stderr, as lines in our log."""

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol

KEPT_LINES = 50
_CHUNK_BYTES = 65_536


class OutputEnd(Protocol):
    """The child's end: travels to it at its start."""

    def take_over(self) -> None:
        """Make this process's stdout and stderr write here."""

    def close(self) -> None:
        """Close the front's copy, so that the child's end is the last one."""


class PosixOutputEnd:
    """The write end of a pipe, as a Connection, which knows how to travel."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def take_over(self) -> None:
        """Make this process's stdout and stderr write here."""
        _replace_standard_streams(self._connection.fileno())
        self._connection.close()

    def close(self) -> None:
        """Close the front's copy."""
        self._connection.close()


class WindowsOutputEnd:
    """The write end of a plain pipe: a Connection's named pipe is overlapped, which C can't use."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a duplicated handle."""
        import msvcrt  # noqa: PLC0415 - Windows only
        from multiprocessing import reduction  # noqa: PLC0415

        handle = msvcrt.get_osfhandle(self._descriptor)  # type: ignore[attr-defined,unused-ignore]
        duplicate = reduction.DupHandle  # type: ignore[attr-defined,unused-ignore]
        return _windows_end, (duplicate(handle, 0, None),)

    def take_over(self) -> None:
        """Make this process's stdout and stderr write here."""
        _replace_standard_streams(self._descriptor)
        os.close(self._descriptor)

    def close(self) -> None:
        """Close the front's copy."""
        os.close(self._descriptor)


def _windows_end(handle: Any) -> WindowsOutputEnd:
    import msvcrt  # noqa: PLC0415 - Windows only

    open_handle = msvcrt.open_osfhandle  # type: ignore[attr-defined,unused-ignore]
    return WindowsOutputEnd(open_handle(handle.detach(), os.O_WRONLY))


def _replace_standard_streams(descriptor: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


class OutputReader:
    """The front's end: hands over each line, and keeps the last ones.

    `read_lines` blocks and belongs into a thread.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.end: OutputEnd
        self._on_line = on_line
        if sys.platform == "win32":
            self._descriptor, write_end = os.pipe()
            self.end = WindowsOutputEnd(write_end)
        else:
            reader, writer = Pipe(duplex=False)
            self._descriptor = os.dup(reader.fileno())
            reader.close()
            self.end = PosixOutputEnd(writer)

    def read_lines(self) -> None:
        """Read until the child's last copy of its end is closed."""
        rest = b""
        while chunk := self._read():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)
            if len(rest) > _CHUNK_BYTES:
                self._take(rest)
                rest = b""
        if rest:
            self._take(rest)
        os.close(self._descriptor)

    def close(self) -> None:
        """Close the front's end, where nothing was started that could write to it."""
        os.close(self._descriptor)

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._descriptor, _CHUNK_BYTES)
        return b""

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.last_lines.append(text)
            self._on_line(text)
