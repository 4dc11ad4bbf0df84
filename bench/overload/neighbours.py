"""What a model that is flooded does to another one in the same service, by each protocol.

    python -m bench.overload.neighbours [--rounds 5] [--seconds 3] [--against REV]

16 clients ask one model, one request after another each, while 64 do so with another one: once with
one that answers them all, and once with one whose queue holds a single row, so that most are
refused and come back with no pause. Beside it the first model alone, while a process computes for
as long as the service and the flood's clients took. `--against` asks another revision in turns.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import dialects
from bench.against import check_out
from bench.ground import MONTHS, register_forest
from bench.loads import Bodies
from bench.overload.ways import WAYS, Way, message
from bench.page import ranged, table
from bench.starting import rest_compiled
from bench.windows import CLIENTS
from bench.wrk import Target, command, drive
from service.commands.demo import model as forest
from tools import mlflow_server, running_service
from tools.mlflow_server import MlflowServer, free_port
from tools.processes import ProcessTree
from tools.running_service import RunningService

FLOOD_CLIENTS = 64
_CALM, _FLOODED, _REFUSING = "calm", "flooded", "refusing"
_BEFORE_S = 0.3
_BURN = """
import sys, time
ends = time.process_time() + float(sys.argv[1])
while time.process_time() < ends:
    pass
"""
_ANOTHER_TREE = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["PYTHONPATH"] = {root!r}
from service.__main__ import main
sys.argv[1:] = ["serve"]
main()
"""
_HERE = Path(__file__).resolve().parents[2]


@dataclass
class Seen:
    """One flood in one round: p99 of the calm model, and its median, in ms."""

    tree: str
    model: str
    way: Way
    alone_ms: float
    beside_ms: float
    computing_ms: float
    median_ms: float
    """Of the calm model alone, and then meanwhile."""
    median_beside_ms: float
    cpu_s: float
    failed: int


@dataclass
class Served:
    """A service of three models."""

    service: RunningService
    tree: ProcessTree
    grpc: str


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each flood")
    parser.add_argument("--against", default="", metavar="REV")
    parser.add_argument("--ways", type=lambda text: text.split(","), default=[])
    chosen = parser.parse_args()
    ways = [
        way for way in WAYS if not chosen.ways or any(w in way.protocol.title for w in chosen.ways)
    ]
    seen: list[Seen] = []
    with tempfile.TemporaryDirectory(prefix="neighbours-") as name:
        folder = Path(name)
        server = mlflow_server.start(folder / "mlflow")
        trees = {"this": _HERE}
        if chosen.against:
            check_out(chosen.against, folder / "other")
            trees[chosen.against] = folder / "other"
        try:
            bodies = _prepared(server, folder)
            with contextlib.ExitStack() as services:
                served = {
                    key: services.enter_context(_served(server, folder / f"service-{key}", root))
                    for key, root in trees.items()
                }
                for number in range(chosen.rounds):
                    for key in [*served][:: -1 if number % 2 else 1]:
                        seen += _round(key, served[key], bodies, folder, ways, chosen.seconds)
        finally:
            server.stop()
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")
    print(_table(seen))
    return 0


def _prepared(server: MlflowServer, folder: Path) -> Bodies:
    version = register_forest(server, MONTHS)
    server.set_alias(forest.NAME, forest.ALIAS, version)
    with server.active() as mlflow:
        model = mlflow.pyfunc.load_model(f"models:/{forest.NAME}@{forest.ALIAS}")
    return Bodies(folder / "bodies", model)


@contextlib.contextmanager
def _served(server: MlflowServer, folder: Path, root: Path) -> Iterator[Served]:
    folder.mkdir(parents=True)
    uri = json.dumps(f"models:/{forest.NAME}@{forest.ALIAS}")
    file = folder / "models.toml"
    tables = [f"[models.{name}]\nuri = {uri}\n" for name in (_CALM, _FLOODED, _REFUSING)]
    file.write_text("".join(tables) + "max_queue_rows = 1\n", "utf-8")
    port = free_port()
    started = running_service.start(
        folder,
        server.uri,
        wait=False,
        command=("-c", _ANOTHER_TREE.format(root=str(root))),
        models_file=file,
        default_model=_CALM,
        grpc_port=port,
        workers=1,
    )
    with started as service:
        service.wait_until(
            lambda: all(
                model.get("status") == "healthy"
                for model in service.get("/health").json()["models"].values()
            ),
            "all models serve",
            300,
        )
        tree = ProcessTree(service.process.pid)
        rest_compiled(f"{service.url}/predict", tree)
        yield Served(service, tree, f"127.0.0.1:{port}")


def _round(
    key: str, served: Served, bodies: Bodies, folder: Path, ways: list[Way], seconds: int
) -> list[Seen]:
    calm = bodies.target(f"{served.service.url}/models/{_CALM}/predict", dialects.INSTANCES, 1)
    window_s = seconds + 1
    drive(calm, CLIENTS, 1)
    seen = []
    for model in (_FLOODED, _REFUSING):
        for way in ways:
            cpu_s = _cpu_s(served.tree)
            alone = drive(calm, CLIENTS, window_s)
            each_s = (_cpu_s(served.tree) - cpu_s) / max(1, alone.requests)
            cpu_s = _cpu_s(served.tree)
            flood = _flood(served, bodies, folder, model, way, seconds)
            beside, clients_s = _beside(calm, flood, window_s)
            used_s = _cpu_s(served.tree) - cpu_s - each_s * beside.requests + clients_s
            burn = [sys.executable, "-c", _BURN, f"{max(0.0, used_s):.3f}"]
            computing, _ = _beside(calm, burn, window_s)
            failed = alone.failed + beside.failed + computing.failed
            one = Seen(
                *(key, model, way, alone.p99_ms, beside.p99_ms, computing.p99_ms),
                *(alone.p50_ms, beside.p50_ms, used_s, failed),
            )
            print(f"  {_told(one)}", flush=True)
            seen.append(one)
    return seen


def _told(one: Seen) -> str:
    p99 = f"{one.alone_ms:.1f} alone, {one.beside_ms:.1f} meanwhile, {one.computing_ms:.1f} beside"
    median = f"{one.median_ms:.2f} and {one.median_beside_ms:.2f}"
    return (
        f"{one.tree}, {one.model}, {one.way.protocol.title}: p99 {p99} computing, p50 {median} ms"
    )


def _cpu_s(tree: ProcessTree) -> float:
    """Return what all processes have used: none ends while this is measured."""
    times = [process.cpu_times() for process in tree.all()]
    return sum(one.user + one.system for one in times)


def _flood(
    served: Served, bodies: Bodies, folder: Path, model: str, way: Way, seconds: int
) -> list[str]:
    if way.protocol.path:
        url = served.service.url + way.protocol.path.format(model)
        return [*command(bodies.target(url, way.dialect, 1), FLOOD_CLIENTS, seconds)]
    file = folder / f"message-{model}"
    if not file.exists():
        file.write_bytes(message(served.service.url, model))
    arguments = (served.grpc, str(file), str(FLOOD_CLIENTS), str(seconds))
    return [sys.executable, "-m", "bench.apps.grpc_flood", *arguments]


def _beside(calm: Target, other: list[str], window_s: int) -> tuple[Any, float]:
    """Ask the calm model while another process runs; return that one's CPU seconds, too."""
    used_s = [0.0]

    def run() -> None:
        with subprocess.Popen(other, stdout=subprocess.DEVNULL, cwd=_HERE) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{other[:4]} ended with {process.returncode}")
        used_s[0] = usage.ru_utime + usage.ru_stime

    timer = threading.Timer(_BEFORE_S, run)
    timer.start()
    driven = drive(calm, CLIENTS, window_s)
    timer.join()
    time.sleep(0.2)
    return driven, used_s[0]


def _table(seen: list[Seen]) -> str:
    rows = []
    for tree, model, way in dict.fromkeys((one.tree, one.model, one.way) for one in seen):
        of = [one for one in seen if (one.tree, one.model, one.way) == (tree, model, way)]
        rows.append(
            [
                f"{tree}, {model}, {way.protocol.title}",
                ranged([one.alone_ms for one in of]),
                ranged([one.beside_ms for one in of]),
                ranged([one.computing_ms for one in of]),
                ranged([one.beside_ms / one.computing_ms for one in of]),
                ranged([one.median_ms for one in of]),
                ranged([one.median_beside_ms for one in of]),
                ranged([one.cpu_s for one in of]),
                str(sum(one.failed for one in of)),
            ]
        )
    head = ["the other model is", "p99 alone, ms", "p99 meanwhile", "p99 beside the same computing"]
    medians = ["p50 alone, ms", "p50 meanwhile"]
    return table([*head, "ratio", *medians, "CPU seconds", "failed"], rows)


if __name__ == "__main__":
    sys.exit(main())
