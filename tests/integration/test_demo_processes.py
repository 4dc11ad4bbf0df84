import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from service.commands.demo.processes import Crashed, Stopped, started, until_stopped

CHILD = "import time; time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    f"child = subprocess.Popen([sys.executable, '-c', {CHILD!r}])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def python(code: str) -> list[str]:
    """Return the command that runs some lines."""
    return [sys.executable, "-c", code]


def wait_for_text(file: Path) -> str:
    """Wait until a file holds a line."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"nothing in {file}")


def test_a_process_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """A child of the child is gone too, though nobody told us of it."""
    log = tmp_path / "parent.log"
    with started(python(PARENT), os.environ, log):
        child = psutil.Process(int(wait_for_text(log)))
        assert child.is_running()
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone


def test_a_process_that_ends_by_itself_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    """The error names the log, the status and what was said last."""
    code = "import sys; print('no room'); sys.exit(3)"
    with (
        pytest.raises(Crashed, match=r"(?s)server ended with status 3.*server\.log.*no room"),
        started(python(code), os.environ, tmp_path / "server.log") as running,
    ):
        running.wait(20)


def test_a_process_that_takes_too_long_is_reported(tmp_path: Path) -> None:
    """A limit is no wish."""
    with (
        pytest.raises(Crashed, match=r"was not done after 0\.1 s"),
        started(python(CHILD), os.environ, tmp_path / "slow.log") as running,
    ):
        running.wait(0.1)


def test_lines_reach_the_console_while_they_are_followed(tmp_path: Path) -> None:
    """What is in the log stands on the console too, markup or not."""
    console = Console(file=(tmp_path / "shown").open("w"), width=200)
    code = "input_ = __import__('time').sleep(0.5); print('[red]version serves')"
    with started(python(code), os.environ, tmp_path / "service.log") as running:
        running.follow(console)
        running.wait(20)
    console.file.close()
    assert (tmp_path / "shown").read_text() == "[red]version serves\n"


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 0), ("SIGTERM", 143)])
def test_the_first_signal_stops_and_the_next_are_ignored(name: str, status: int) -> None:
    """Ctrl-C is the way out that the demo names; a second one must not leave processes behind."""
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def be_stopped() -> None:
        """Get the signal twice."""
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)

    with pytest.raises(Stopped) as stopped, until_stopped():
        be_stopped()
    assert stopped.value.status == status
    assert signal.getsignal(number) is before
