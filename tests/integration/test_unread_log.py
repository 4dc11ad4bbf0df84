"""A service whose log nobody reads, as behind a collector that stands still."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tools.mlflow_server import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
REQUESTS = 600
"""Their lines are more than a pipe holds."""


@pytest.mark.skipif(sys.platform == "win32", reason="reads a POSIX pipe")
def test_a_log_that_nobody_reads_holds_up_no_request_and_no_end(tmp_path: Path) -> None:
    """A pipe that is full, with a line for each request; what comes out later is whole lines."""
    port = free_port()
    settings = {
        "MODEL_URI": "models:/m@champion",
        # Nothing listens there: a service lives without a registry.
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "PORT": str(port),
        "CACHE_DIR": str(tmp_path / "cache"),
        "ACCESS_LOG": "true",
        "LOG_FORMAT": "json",
        "PYTHONPATH": str(ROOT),
    }
    with (
        subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            cwd=tmp_path,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client,
    ):
        try:
            _wait_live(client)
            ids = [str(number) for number in range(REQUESTS)]
            for one in ids:
                answer = client.get("/health/live", headers={"x-request-id": one})
                assert answer.status_code == 200
                assert answer.elapsed.total_seconds() < 5
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 128 + signal.SIGTERM
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.stderr is not None
        *whole, _cut = process.stderr.read().split(b"\n")
    noted = [line for line in map(json.loads, whole) if line["logger"] == "access"]
    told = [line["request_id"] for line in noted if line["request_id"] in ids]
    assert 0 < len(told) < REQUESTS
    assert told == ids[: len(told)]
    assert {(line["path"], line["status"]) for line in noted} == {("/health/live", 200)}


def _wait_live(client: httpx.Client) -> None:
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        try:
            client.get("/health/live")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"no answer within {LIMIT_S:g} s")
