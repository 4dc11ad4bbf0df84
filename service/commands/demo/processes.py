"""The demo's processes: each leads a group of its own, and is ended with all that it started."""

import contextlib
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from service import windows

_TERM_LIMIT_S = 10.0
_LAST_LINES = 15


class Crashed(Exception):  # noqa: N818 - what became of a process
    """A process of the demo's that ended by itself, or did not do its part."""


class Stopped(BaseException):
    """A signal that ends the demo. `status` is the exit status that it asks for."""

    def __init__(self, number: int) -> None:
        super().__init__()
        # Ctrl-C is the way out that the demo names: no failure.
        self.status = 0 if number == signal.SIGINT else 128 + number


@contextmanager
def until_stopped() -> Iterator[None]:
    """Raise Stopped in this block at the first signal, and ignore those that follow."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]

    def stop(number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C must not leave half of the processes.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Running:
    """A process whose output goes to a file, and to the console while that is wanted."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self._console: Console | None = None
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def follow(self, console: Console) -> None:
        """Show each line from now on."""
        self._console = console

    def check(self) -> None:
        """Raise Crashed if the process has ended."""
        if self._process.poll() is not None:
            self._crashed(f"ended with status {self._process.returncode}")

    def wait(self, limit_s: float) -> None:
        """Wait until the process has ended well. Raise Crashed otherwise."""
        try:
            status = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._crashed(f"was not done after {limit_s:g} s")
        if status:
            self._crashed(f"ended with status {status}")

    def end(self) -> None:
        """Ask the process to end; then end whatever is left of its group."""
        if self._process.poll() is None:
            windows.ask_to_end(self._process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERM_LIMIT_S)
        # MLflow's server leaves its workers behind.
        windows.kill_group(self._process)
        self._process.wait()
        self._reader.join(1.0)

    def _crashed(self, what: str) -> None:
        self._reader.join(1.0)
        lines = "\n".join(f"  {line}" for line in self._last)
        raise Crashed(
            f"{self._log.stem} {what}. Its last lines, all of them in {self._log}:\n{lines}"
        )

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream, self._log.open("w", encoding="utf-8") as file:
            for line in stream:
                file.write(line)
                file.flush()
                self._last.append(line.rstrip())
                if self._console is not None:
                    self._console.print(Text.from_ansi(line.rstrip()), soft_wrap=True)


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a command in the log's folder for as long as the block lasts."""
    process = subprocess.Popen(  # noqa: S603 - commands of our own
        command,
        cwd=log.parent,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        # Ctrl-C in a terminal reaches a whole group: only the demo is to get it.
        **windows.group_of_its_own(),  # type: ignore[call-overload]
    )
    running = Running(process, log)
    try:
        yield running
    finally:
        running.end()
