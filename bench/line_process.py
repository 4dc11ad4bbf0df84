"""Apps of the benchmark's that are told what to do by lines, and answer by lines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import Ground
from tools.processes import BrokenError


class LineProcess:
    """An app that is told what to do by lines, while it runs."""

    def __init__(self, app: str, process: "subprocess.Popen[str]") -> None:
        self._app = app
        self._process = process

    def send(self, line: str) -> None:
        """Tell it something."""
        assert self._process.stdin  # noqa: S101 - it was opened with pipes
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def receive(self) -> str:
        """Wait for its next line. Raise BrokenError where it has ended."""
        assert self._process.stdout  # noqa: S101 - it was opened with pipes
        line = self._process.stdout.readline()
        if not line:
            raise BrokenError(f"bench.apps.{self._app} ended with {self._process.wait()}")
        return line


@contextmanager
def line_process(
    ground: Ground, app: str, *arguments: str, stderr: int | None = None
) -> Iterator[LineProcess]:
    """Run `bench.apps.<app>` until the block ends: its input ends with it, and so does it."""
    with subprocess.Popen(
        [sys.executable, "-m", f"bench.apps.{app}", *arguments],
        env=ground.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        yield LineProcess(app, process)
