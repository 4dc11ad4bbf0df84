"""What a line of the access log costs a request.

    python -m bench.access [--served [--rounds 8] [--seconds 3]]

A direct answer is made and noted with nothing behind it, so that the difference is the line's own
cost: what the event loop does for it, and what the thread that writes it takes of the GIL. With
--served two services of the demo's forest, one of them with ACCESS_LOG, are asked in turns by 64
clients for single rows: requests a second, and the CPU that each takes for a request.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench import dialects
from bench.ground import MODEL_URI, MONTHS, register_forest
from bench.loads import Bodies
from bench.page import ranged
from bench.starting import rest_compiled
from bench.wrk import Target, drive
from service.commands.demo import model as forest
from service.handlers.access import AccessLogged
from service.telemetry.access_log import AccessLog
from service.telemetry.line_writer import LineWriter
from tools import mlflow_server, running_service
from tools.processes import ProcessTree

_CLIENTS = 64
_REQUESTS = 50_000
_ROUNDS = 9
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"x-model-name", b"archive-forecast-rf"),
    (b"x-model-version", b"12"),
)
_NAMED = (b"x-request-id", b"5d4c1a52-8c11-4c2e-9a4e-000000000001")
_BODY = b"x" * 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.served:
        _serve(chosen.rounds, chosen.seconds)
    else:
        asyncio.run(_alone())


def _serve(rounds: int, seconds: int) -> None:
    """Print what two services answer in turns."""
    with tempfile.TemporaryDirectory(prefix="access-") as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        server = mlflow_server.start(folder / "mlflow")
        ends.callback(server.stop)
        server.set_alias(forest.NAME, forest.ALIAS, register_forest(server, MONTHS))
        with server.active() as mlflow:
            bodies = Bodies(folder / "bodies", mlflow.pyfunc.load_model(MODEL_URI))
        asked: dict[str, tuple[Target, ProcessTree]] = {}
        for is_on in ("false", "true"):
            service = ends.enter_context(
                running_service.start(
                    folder / is_on,
                    server.uri,
                    model_uri=MODEL_URI,
                    workers=1,
                    poll_interval_s=2,
                    access_log=is_on,
                )
            )
            url, tree = f"{service.url}/predict", ProcessTree(service.process.pid)
            rest_compiled(url, tree)
            asked[is_on] = bodies.target(url, dialects.INSTANCES, 1), tree
            drive(asked[is_on][0], _CLIENTS, seconds)
        ratios: list[float] = []
        for number in range(rounds):
            seen: dict[str, tuple[float, float]] = {}
            for is_on in [*asked][:: -1 if number % 2 else 1]:
                target, tree = asked[is_on]
                began_s = tree.cpu_s()
                driven = drive(target, _CLIENTS, seconds)
                if driven.failed:
                    raise RuntimeError(f"{driven.failed} requests failed")
                used_us = (tree.cpu_s() - began_s) / driven.requests * 1e6
                seen[is_on] = driven.rate(_CLIENTS), used_us
            ratios.append(seen["true"][0] / seen["false"][0])
            told = ", ".join(
                f"{on}: {a:,.0f} a second, {us:.1f} us" for on, (a, us) in seen.items()
            )
            print(f"  ACCESS_LOG {told}: {ratios[-1]:.3f}", flush=True)
    print(f"requests a second with it, to those without: {ranged(ratios)}")


async def _alone() -> None:
    """Print the microseconds of a request with and without, and their difference."""
    reader, descriptor = os.pipe()
    drain = threading.Thread(target=_drain, args=(reader,), daemon=True)
    drain.start()
    writer = LineWriter(descriptor, lambda count: b"%d lost\n" % count)
    logged = AccessLogged(_answer, AccessLog(writer), lambda _: "/predict")
    without, with_it = [], []
    for _ in range(_ROUNDS):
        without.append(await _us(_answer))
        with_it.append(await _us(logged))
        await asyncio.to_thread(writer.flush, 5.0)
    costs = sorted(b - a for a, b in zip(without, with_it, strict=True))
    print(f"a request without: {statistics.median(without):.2f} microseconds of CPU")
    print(f"a request with it: {statistics.median(with_it):.2f} microseconds of CPU")
    print(f"a line: {statistics.median(costs):.2f} ({costs[0]:.2f} to {costs[-1]:.2f})")


class _Connection:
    """Takes whole answers, as the service's own protocol does."""

    def take_body(self) -> bytes:
        """Return nothing."""
        return b""

    def try_answer(self, *_: object) -> bool:
        """Take it."""
        return True

    async def send(self, message: Any) -> None:
        """Take no messages."""
        raise AssertionError(message)


_send = _Connection().send


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    assert send.__self__.try_answer(200, _HEADERS, _NAMED, _BODY)  # noqa: S101 - it is measured


async def _receive() -> Any:
    return None


async def _us(app: Any) -> float:
    """Return the CPU time of all threads for one request."""
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "state": {}}
    began_s = time.process_time()
    for number in range(_REQUESTS):
        await app(scope, _receive, _send)
        if number % 1_000 == 0:
            # As a loop does between two reads; the writing thread gets its turn.
            await asyncio.sleep(0)
    return (time.process_time() - began_s) / _REQUESTS * 1e6


def _drain(reader: int) -> None:
    while os.read(reader, 1_048_576):
        pass


if __name__ == "__main__":
    main()
