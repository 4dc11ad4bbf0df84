"""Run a program that is not ours: it can be killed, is bounded in time and output, and waits last.

Everything here blocks, and is called in a thread of anyio's, whose cancelled host ends the program.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from anyio.from_thread import check_cancelled

from service import windows
from service.core.text import LINE_CHARACTERS
from service.processes.guardian import end_marked, reap_marked
from service.processes.launch import guard

KEPT_LINES = 200
"""At most this many of the last lines are kept."""
MOST_BYTES = 16 * 2**20
"""A program that prints more than this is ended."""
_LOWERED = Path(__file__).with_name("inside") / "lowered.py"
_LOOK_S = 0.1
"""A cancelled program ends within this time."""
_END_S = 5.0
_CHUNK_BYTES = 65_536
_LINE_BYTES = 4 * LINE_CHARACTERS


class Ended(NamedTuple):
    """How a program ended: its status, or a negative number of a signal, and what it printed.

    `cut` says why it was ended before its time, '' where it was not.
    """

    status: int
    lines: tuple[str, ...]
    cut: str = ""


def run_program(
    command: Sequence[str | Path],
    *,
    variables: Mapping[str, str],
    folder: Path,
    limit_s: float,
    on_line: Callable[[str], None] = lambda _: None,
    most_bytes: int = MOST_BYTES,
) -> Ended:
    """Run a program by its absolute path, with these variables alone, and return how it ended.

    It has a group of its own and the lowest priority; whatever it has started ends with it. The
    time in which it waits for a CPU does not count, since others come first. Raise OSError where
    the system will not start it.
    """
    ends = time.monotonic() + limit_s
    guard.ensure_running()
    program_mark = guard.new_mark()
    process = subprocess.Popen(  # noqa: S603 - a program that the caller names, by its path
        [sys.executable, "-I", "-S", _LOWERED, str(program_mark), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=dict(variables),
        **windows.group_of_its_own(),  # type: ignore[call-overload]
    )
    output = _Output(on_line, most_bytes)
    try:
        cut = _follow(process, output, ends)
    finally:
        _end(process, program_mark)
    if cut:
        return Ended(process.returncode, output.all_lines(), cut)
    return Ended(process.returncode, output.all_lines())


class _Output:
    """What a program prints, by lines; the last ones are kept."""

    def __init__(self, on_line: Callable[[str], None], most_bytes: int) -> None:
        self._on_line = on_line
        self._left_bytes = most_bytes
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._open = b""

    def add(self, chunk: bytes) -> bool:
        """Take what was printed; False once that is too much."""
        self._left_bytes -= len(chunk)
        *lines, self._open = (self._open + chunk).replace(b"\r", b"\n").split(b"\n")
        self._open = self._open[:_LINE_BYTES]
        for line in lines:
            self._add_line(line)
        return self._left_bytes >= 0

    def all_lines(self) -> tuple[str, ...]:
        """Return the last lines, oldest first."""
        if self._open:
            self._add_line(self._open)
            self._open = b""
        return tuple(self._kept)

    def _add_line(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode("utf-8", "replace")[:LINE_CHARACTERS].rstrip()
        if text:
            self._kept.append(text)
            self._on_line(text)


def _follow(process: "subprocess.Popen[bytes]", output: _Output, ends: float) -> str:
    """Read what it prints until it ends. Return why it has to be ended, '' where it did itself."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    descriptor = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            check_cancelled()
            if _is_over(process, ends):
                return "it took too long"
            if selector.select(_LOOK_S):
                chunk = os.read(descriptor, _CHUNK_BYTES)
                if not chunk:
                    return _await_status(process, ends)
                if not output.add(chunk):
                    return "it printed without an end"
            elif process.poll() is not None:
                # What it has left behind still holds its output.
                return ""


def _await_status(process: "subprocess.Popen[bytes]", ends: float) -> str:
    """Wait for the end of a program that has closed its output."""
    while process.poll() is None:
        check_cancelled()
        if _is_over(process, ends):
            return "it took too long"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)
    return ""


def _is_over(process: "subprocess.Popen[bytes]", ends: float) -> bool:
    now = time.monotonic()
    return now > ends and now > ends + _waited_s(process.pid)


def _waited_s(pid: int) -> float:
    """Return how long a process has waited for a CPU; 0 where the system does not tell."""
    try:
        waited_ns = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(waited_ns) / 1e9


def _end(process: "subprocess.Popen[bytes]", program_mark: int) -> None:
    """End it with all that it has started, wherever that has got to."""
    if windows.has_process_groups():
        # Its group first: the number is its own as long as nobody has taken its status.
        if process.returncode is None or not program_mark:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    elif process.returncode is None:
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    if program_mark:
        end_marked((program_mark,), _END_S)
        reap_marked(program_mark)
    if process.stdout is not None:
        process.stdout.close()
