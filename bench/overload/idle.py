"""What thousands of idle connections do to those that ask, and what each of them holds.

    python -m bench.overload.idle [--connections 5000] [--rounds 5] [--seconds 4]

Half of the connections sent a request and stay open, the other half send nothing. With gRPC all of
them have said hello (HTTP/2's preface and settings), and make no call. Beside them 16 clients ask
over HTTP, in turns with and without.
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench import dialects
from bench.ground import MODEL_URI, prepared
from bench.loads import Bodies
from bench.page import ranged, table
from bench.starting import rest_compiled
from bench.windows import CLIENTS
from bench.wrk import Target, drive
from tools import running_service
from tools.mlflow_server import free_port
from tools.processes import ProcessTree

_GET = b"GET /health/live HTTP/1.1\r\nhost: %b\r\n\r\n"
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_EVERY = 32
"""After so many connections one is waited for, so that none is dropped while it waits."""


@dataclass
class Seen:
    """One round of one way to connect."""

    way: str
    without_ms: float
    beside_ms: float
    without_rate: float
    beside_rate: float
    held_kb: float
    failed: int


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each window")
    chosen = parser.parse_args()
    seen: list[Seen] = []
    port = free_port()
    with (
        # Nobody else is measured, in an environment of their own.
        prepared(Path()) as ground,
        running_service.start(
            ground.folder / "service", ground.server.uri, model_uri=MODEL_URI, grpc_port=port
        ) as service,
    ):
        url = f"{service.url}/predict"
        rest_compiled(url, ProcessTree(service.process.pid))
        target = Bodies(ground.folder / "bodies", ground.load()).target(url, dialects.INSTANCES, 1)
        process = psutil.Process(service.process.pid)
        drive(target, CLIENTS, 1)
        ways = {"HTTP": (int(urlsplit(url).port or 0), True), "gRPC": (port, False)}
        for _ in range(chosen.rounds):
            for way, where in ways.items():
                seen.append(_round(way, where, target, process, chosen))
                print(f"  {seen[-1]}", flush=True)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")
    print(_table(seen, chosen.connections))
    return 0


def _round(
    way: str,
    where: tuple[int, bool],
    target: Target,
    process: psutil.Process,
    chosen: argparse.Namespace,
) -> Seen:
    port, is_http = where
    without = drive(target, CLIENTS, chosen.seconds)
    before = process.memory_info().rss
    with _idle(port, chosen.connections, is_http=is_http):
        held = process.memory_info().rss - before
        beside = drive(target, CLIENTS, chosen.seconds)
    return Seen(
        *(way, without.p99_ms, beside.p99_ms, without.rate(CLIENTS), beside.rate(CLIENTS)),
        held_kb=held / 1024 / chosen.connections,
        failed=without.failed + beside.failed,
    )


@contextlib.contextmanager
def _idle(port: int, count: int, *, is_http: bool) -> Iterator[None]:
    """Hold so many connections open until the block ends."""
    with contextlib.ExitStack() as held:
        for number in range(count):
            one = held.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            asks = not is_http or number % 2 == 0
            if asks:
                one.sendall(_GET % b"127.0.0.1" if is_http else _HELLO)
            if asks and number % _EVERY == 0:
                one.recv(65_536)
        yield


def _table(seen: list[Seen], connections: int) -> str:
    rows = []
    for way in dict.fromkeys(one.way for one in seen):
        of = [one for one in seen if one.way == way]
        rows.append(
            [
                f"{connections:,} by {way}",
                ranged([one.without_ms for one in of]),
                ranged([one.beside_ms for one in of]),
                ranged([one.beside_ms / one.without_ms for one in of]),
                ranged([one.without_rate for one in of]),
                ranged([one.beside_rate for one in of]),
                ranged([one.held_kb for one in of if one.held_kb > 0]),
                str(sum(one.failed for one in of)),
            ]
        )
    head = ["idle connections", "p99 without, ms", "p99 beside", "ratio", "requests a second"]
    return table([*head, "beside", "kB each, as far as it grew", "failed"], rows)


if __name__ == "__main__":
    sys.exit(main())
