import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from service.commands.demo.story import EXAMPLE
from tools.mlflow_server import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0


@dataclass
class Demo:
    """A running demo, and where it can be reached."""

    process: subprocess.Popen[bytes]
    service: str
    mlflow: str
    output: Path

    def wait(self, what: str, is_so: Callable[[], object]) -> None:
        """Wait for a state."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if is_so():
                    return
            said = self.output.read_text(encoding="utf-8", errors="replace")
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, f"{what}; it said:\n{said}"
            time.sleep(0.1)

    def version(self) -> str:
        """Ask for a forecast; return the version that answered."""
        answer = httpx.post(
            f"{self.service}/predict", json={"instances": [EXAMPLE]}, trust_env=False, timeout=30
        )
        return str(answer.raise_for_status().json()["model_version"])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """Start the demo in a folder; end it by force if a test leaves it running."""
    port, mlflow_port = free_port(), free_port()
    options = [f"--port={port}", f"--mlflow-port={mlflow_port}"]
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "demo", *options],
            cwd=folder,
            # A caller's own settings must not reach the demo.
            env={**os.environ, "PYTHONPATH": str(ROOT), "MODEL_STAGE": "Staging", "WORKERS": "7"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Demo(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{mlflow_port}", output)
    finally:
        for each in tree(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(10)


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and everything below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


@pytest.mark.timeout(400)
def test_the_demo_shows_a_promotion_and_ends_all_it_started(tmp_path: Path) -> None:
    """A version answers, then the promoted one; a signal ends it all; a second run goes on."""
    runs = (("1", "2", signal.SIGINT, 0), ("2", "1", signal.SIGTERM, 143))
    for serving, promoted, number, status in runs:
        with running(tmp_path) as demo:
            demo.wait(
                "three things to try", lambda: "Ctrl-C ends" in demo.output.read_text("utf-8")
            )
            assert demo.version() == serving
            httpx.post(
                f"{demo.mlflow}/api/2.0/mlflow/registered-models/alias",
                json={"name": "archive-forecast-rf", "alias": "champion", "version": promoted},
                trust_env=False,
            ).raise_for_status()
            demo.wait("the promoted one answers", lambda: demo.version() == promoted)  # noqa: B023
            demo.wait("its story", lambda: "replaced=" in demo.output.read_text("utf-8"))
            processes = tree(demo.process.pid)
            assert len(processes) > 5
            demo.process.send_signal(number)
            assert demo.process.wait(30) == status
            _, alive = psutil.wait_procs(processes, timeout=5)
            assert not alive
        assert ("trained" in demo.output.read_text("utf-8")) is (serving == "1")
