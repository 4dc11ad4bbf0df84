"""What a single row costs by gRPC beside REST: Triton's own clients, against one service.

    python -m bench.grpc_calls [--rounds 5] [--seconds 3] [--write]

Each round asks both ways in turn, by 1 and by 16 clients. CPU is the server process' alone; p50 is
as the client sees it. `--write` puts the table into docs/performance.md.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import psutil

from bench import contenders, starting
from bench.environment import environment_of
from bench.ground import Ground, prepared
from bench.loads import Bodies
from bench.page import PERFORMANCE, ranged, replace, table
from bench.rows import frame_of
from service.commands.demo import model as forest
from tools.mlflow_server import free_port
from tools.processes import BrokenError, python_of

_CALLER = Path(__file__).with_name("apps") / "triton_caller.py"
_CLIENTS = (1, 16)
_WARM_S = 1.0
REST, GRPC = "http", "grpc"
TITLES = {REST: "`tritonclient[http]`", GRPC: "`tritonclient[grpc]`"}


class Seen(NamedTuple):
    """One way by so many clients in one round."""

    way: str
    clients: int
    p50_ms: float
    cpu_ms: float
    """Of the server process for each call."""
    rate: float


@dataclass(frozen=True)
class Caller:
    """A library's client, run in an environment of its own."""

    python: str
    addresses: dict[str, str]
    model: str
    columns: str
    server: psutil.Process

    def ask(self, way: str, clients: int, seconds: float) -> Seen:
        """Ask for so long. Raise BrokenError where a call fails."""
        arguments = (way, self.addresses[way], self.model, self.columns, clients, seconds)
        with subprocess.Popen(
            [self.python, str(_CALLER), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        ) as process:
            assert process.stdin is not None  # noqa: S101 - as it was started
            assert process.stdout is not None  # noqa: S101 - the same
            if process.stdout.readline().strip() != "ready":
                raise BrokenError(f"{TITLES[way]} can't call the service")
            used_s = self._used_s()
            process.stdin.write("\n")
            process.stdin.flush()
            took_ms: list[float] = json.loads(process.stdout.readline() or "[]")
            used_s = self._used_s() - used_s
        if not took_ms:
            raise BrokenError(f"{TITLES[way]} got no answer")
        calls = len(took_ms)
        return Seen(way, clients, median(took_ms), used_s / calls * 1000, calls / seconds)

    def _used_s(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)


def measure(ground: Ground, rounds: int, seconds: float) -> list[Seen]:
    """Start the service, warm it up, and ask both ways in turn."""
    bodies = Bodies(ground.folder / "bodies", ground.load())
    python = python_of(environment_of("tritonclient", ground.environments))
    port = free_port()
    found: list[Seen] = []
    with starting.rested(contenders.HOTSWAP, ground, bodies, GRPC_PORT=str(port)) as (url, tree):
        parts = urlsplit(url)
        addresses = {REST: parts.netloc, GRPC: f"{parts.hostname}:{port}"}
        columns = json.dumps(_columns(f"{parts.scheme}://{parts.netloc}"))
        caller = Caller(python, addresses, forest.NAME, columns, tree.root)
        for way in (REST, GRPC):
            caller.ask(way, _CLIENTS[-1], _WARM_S)
        for number in range(1, rounds + 1):
            for clients in _CLIENTS:
                for way in (REST, GRPC) if number % 2 else (GRPC, REST):
                    seen = caller.ask(way, clients, seconds)
                    found.append(seen)
                    print(f"round {number}: {seen}", flush=True)
                    tree.settle(0.1)
    return found


def _columns(base: str) -> dict[str, Any]:
    """Return one row as the service describes its tensors."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{base}/v2/models/{quote(forest.NAME)}", timeout=10) as answer:
        inputs = json.loads(answer.read())["inputs"]
    row = frame_of(1)
    return {one["name"]: (one["datatype"], row[one["name"]].tolist()) for one in inputs}


def described(found: list[Seen]) -> str:
    """Return the table: figures of each, and gRPC's as shares of REST's in the same round."""
    rows = []
    for clients in _CLIENTS:
        by_way = {
            way: [seen for seen in found if (seen.way, seen.clients) == (way, clients)]
            for way in TITLES
        }
        for way, seen in by_way.items():
            rows.append(
                [
                    f"{TITLES[way]}, {clients} client{'s' if clients > 1 else ''}",
                    ranged([one.p50_ms for one in seen]),
                    ranged([one.cpu_ms for one in seen]),
                    f"{median(one.rate for one in seen):,.0f}",
                ]
            )
        pairs = list(zip(by_way[GRPC], by_way[REST], strict=True))
        rows.append(
            [
                "gRPC to REST",
                ranged([mine.p50_ms / other.p50_ms for mine, other in pairs]),
                ranged([mine.cpu_ms / other.cpu_ms for mine, other in pairs]),
                f"{median(mine.rate / other.rate for mine, other in pairs):.2f}",
            ]
        )
    return table(["one row", "p50, ms", "server process' CPU, ms a call", "calls a second"], rows)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--environments", type=Path, default=Path(".bench/environments"))
    chosen = parser.parse_args()
    with prepared(chosen.environments) as ground:
        told = described(measure(ground, chosen.rounds, chosen.seconds))
    print(told, flush=True)
    if chosen.write:
        replace(PERFORMANCE, "grpc", told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
