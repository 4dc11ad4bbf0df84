"""How long a start takes to its first answer, beside a bare Python that loads the same model.

    python -m bench.startup [--rounds 7]

Starts an MLflow server on this machine, registers the forest that the demo trains, and has the
service fetch and compile it once. Then, in turn, times two processes from their start: `hotswap
serve` with the version in its store, to its first prediction (every gate passed, the registry
asked); and a Python that imports mlflow and calls `mlflow.pyfunc.load_model` on the same folder, to
the moment when that returns. Prints both for each round, with the steps of the start, then medians,
spread, difference and ratio.
"""

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service.demo import model as forest
from tests.support import mlflow_server, running_service
from tests.support.running_service import RunningService

LIMIT_S = 60.0
COMPILED_S = 600.0
POLL_S = 0.01
BARE = """
import sys
import mlflow
mlflow.pyfunc.load_model(sys.argv[1])
print("loaded", flush=True)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        server = mlflow_server.start(Path(folder) / "mlflow")
        try:
            _measure(server, Path(folder) / "service", rounds)
        finally:
            server.stop()


def _measure(server: mlflow_server.MlflowServer, folder: Path, rounds: int) -> None:
    pipeline, inputs, _ = forest.train(months=24)
    version = forest.register(server.uri, pipeline, inputs)
    server.set_alias(forest.NAME, forest.ALIAS, version)
    row: dict[str, Any] = json.loads(inputs.head(1).to_json(orient="records"))[0]
    with _start(folder, server) as service:
        service.wait_healthy()
        # Kept as well, and taken into use by the starts that are timed.
        service.wait_until(lambda: _is_tuned(service), "its predictors are compiled", COMPILED_S)
    (stored,) = (service.cache_dir / "versions").glob("*/model")
    ours, bare = [], []
    print(f"{'hotswap serve':>14} {'bare Python':>12}  (seconds)")
    for _ in range(rounds):
        service.log.unlink()
        ours.append(_until_answer(folder, server, row))
        bare.append(_until_loaded(stored))
        print(f"{ours[-1]:14.2f} {bare[-1]:12.2f}")
    for name, taken in (("hotswap serve", ours), ("bare Python", bare)):
        print(f"{name}: median {statistics.median(taken):.2f} s, {_spread(taken)}")
    more = [mine - its for mine, its in zip(ours, bare, strict=True)]
    ratios = [mine / its for mine, its in zip(ours, bare, strict=True)]
    print(f"more, round by round: median {statistics.median(more):.2f} s, {_spread(more)}")
    print(f"ratio: median {statistics.median(ratios):.2f}, {_spread(ratios)}")


def _start(folder: Path, server: mlflow_server.MlflowServer) -> RunningService:
    return running_service.start(
        folder, server.uri, wait=False, model_uri=f"models:/{forest.NAME}@{forest.ALIAS}"
    )


def _is_tuned(service: RunningService) -> bool:
    return bool(service.info()["serving"]["predictors"]["state"] == "tuned")


def _until_answer(folder: Path, server: mlflow_server.MlflowServer, row: dict[str, Any]) -> float:
    """Return the seconds from the start of a service to its first prediction."""
    body = json.dumps({"instances": [row]})
    began, began_at = time.monotonic(), time.time()
    with _start(folder, server) as service:
        while not (_answers(service.url, "/health") and _answers(service.url, "/predict", body)):
            if time.monotonic() - began > LIMIT_S:
                raise RuntimeError(f"no answer; the service said: {service.log.read_text()}")
            time.sleep(POLL_S)
        took_s = time.monotonic() - began
        _tell_steps(service, began_at)
        return took_s


def _answers(url: str, path: str, body: str | None = None) -> bool:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=LIMIT_S)
    method = "GET" if body is None else "POST"
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        return connection.getresponse().status == http.client.OK
    except ConnectionError:
        return False
    finally:
        connection.close()


def _until_loaded(stored: Path) -> float:
    """Return the seconds from the start of a Python to the moment when it has loaded the model."""
    began = time.monotonic()
    ours_end, its_end = socket.socketpair()
    with ours_end, its_end:
        command = [sys.executable, "-W", "ignore", "-c", BARE, str(stored)]
        process = subprocess.Popen(command, stdout=its_end.fileno(), stderr=subprocess.DEVNULL)
        its_end.close()
        loaded = ours_end.recv(len(b"loaded"))
        took_s = time.monotonic() - began
        process.wait(LIMIT_S)
    if not loaded:
        raise RuntimeError("the model could not be loaded")
    return took_s


def _tell_steps(service: RunningService, began_at: float) -> None:
    for event in service.events():
        if "timestamp" in event:
            at = datetime.fromisoformat(event["timestamp"]).timestamp() - began_at
            what = [event[key] for key in ("child", "gate", "version") if key in event]
            print(f"    {at:6.2f} s  {event['event']} {' '.join(map(str, what))}")


def _spread(taken: list[float]) -> str:
    return f"{min(taken):.2f} to {max(taken):.2f}"


if __name__ == "__main__":
    main()
