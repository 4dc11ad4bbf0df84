"""`mlflow models serve`, started as its users start it, for one model of a folder."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tools.mlflow_server import free_port, stop_tree

START_TIMEOUT_S = 90.0
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def mlflow_models_serve(model: Path, folder: Path, **variables: str) -> Iterator[httpx.Client]:
    """Serve a saved model; give a client of it once it answers. It ends with the context."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        # It starts uvicorn by its name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(_ROOT),
        "PYTHONWARNINGS": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **variables,
    }
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        # A connection for each request: it closes those on which it failed, after the answer.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=url, timeout=60, trust_env=False, limits=limits) as client:
            _wait_ready(client, process, log)
            yield client
    finally:
        stop_tree(process)


def _wait_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/ping").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    said = log.read_text("utf-8", "replace")[-3000:]
    raise RuntimeError(f"`mlflow models serve` did not answer; it said:\n{said}")
