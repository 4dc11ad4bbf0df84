"""More requests than can be answered: what is answered all the same, and what it does to a server.

    python -m bench.overload [--cases alone,merged,rows,demo,together]
        [--protocols json,arrow,invocations,oip,grpc] [--seconds 60] [--against REV]
    python -m bench.overload --short

Requests come at a rate that does not heed the answers: to a slow model (alone, merged, rows) or the
demo's by each of the protocols in turn, and to five models of one service together, each by another
protocol. With `--against` another revision is asked the same, in turns with this tree. The table is
printed; each line is kept in `--results` too.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import starting
from bench.against import check_out
from bench.ground import register_forest
from bench.overload.ways import WAYS, Way, message
from bench.page import table
from bench.rows import frame_of
from service.commands.demo import model as forest
from tools import mlflow_server
from tools.mlflow_server import MlflowServer, free_port
from tools.overload import cases, measure, together
from tools.overload.cases import Case
from tools.overload.measure import Load
from tools.overload.row import HEAD, Row, as_json, cells
from tools.overload.server import Server
from tools.processes import ProcessTree, running
from tools.python_models import register_python_model

_HERE = Path(__file__).resolve().parents[2]
_DEMO, _TOGETHER = "demo", "together"
_DEMO_CLIENTS = 64
_DEMO_CAPACITY_S = 5.0
_ALIAS = "champion"
_SHORT_S = 8.0
_OTHERS = ("MODEL_", "MLFLOW_", "ADMIN_")
Trees = dict[str, Path]


def main() -> int:
    """Measure, print, keep."""
    chosen = _arguments()
    rows: list[Row] = []
    with (
        _trees(chosen.against, alone=chosen.alone) as trees,
        tempfile.TemporaryDirectory(prefix="overload-") as name,
    ):
        folder = Path(name)
        server = mlflow_server.start(folder / "mlflow")
        try:
            for case in [case for case in cases.SLOW if case.key in chosen.cases]:
                model = _register(server, case)
                for way in chosen.ways:
                    asked = case.by(way.protocol)
                    for factor in chosen.factors or cases.FACTORS:
                        for tree, root in trees.items():
                            with _serving_one(server, folder, root, model, asked) as service:
                                load = Load(asked, model, factor)
                                _keep(rows, chosen, service, [load], tree)
            if _DEMO in chosen.cases:
                _measure_demo(server, folder, trees, chosen, rows)
            if _TOGETHER in chosen.cases:
                _measure_together(server, folder, trees, chosen, rows)
        finally:
            server.stop()
    print(table(HEAD, [cells(row) for row in rows]))
    return 0


def _keep(
    rows: list[Row],
    chosen: argparse.Namespace,
    service: Server,
    loads: Sequence[Load],
    tree: str,
) -> None:
    """Measure, and keep what was seen."""
    for row in measure.measure(service, loads, chosen.seconds, tree=tree):
        rows.append(row)
        print(" | ".join(cells(row)), flush=True)
        chosen.results.parent.mkdir(parents=True, exist_ok=True)
        with chosen.results.open("a", encoding="utf-8") as file:
            file.write(f"{as_json(row)}\n")


def _measure_demo(
    server: MlflowServer,
    folder: Path,
    trees: Trees,
    chosen: argparse.Namespace,
    rows: list[Row],
) -> None:
    """Overload the server itself: its model is faster than the server."""
    with server.active():
        version = register_forest(server, 12)
    server.set_alias(forest.NAME, forest.ALIAS, version)
    settings = {"compiled": "auto"}
    for limit_s, way, factor in itertools.product(
        cases.DEMO_LIMITS_S, chosen.ways, chosen.factors or cases.DEMO_FACTORS
    ):
        title = f"the demo's model, 1 row, REQUEST_TIMEOUT_S={limit_s:g}"
        case = _DemoCase(_DEMO, title, {}, 1, 0.0, settings, way.protocol, limit_s)
        for tree, root in trees.items():
            with _serving_one(server, folder, root, forest.NAME, case) as service:
                starting.rest_compiled(service.url, service.tree)
                known = dataclasses.replace(case, written=_demo_body(way, service.url))
                for seconds in (2.0, _DEMO_CAPACITY_S):
                    capacity = measure.capacity(service, known, forest.NAME, _DEMO_CLIENTS, seconds)
                known = dataclasses.replace(known, capacity=capacity)
                _keep(rows, chosen, service, [Load(known, forest.NAME, factor)], tree)


@dataclass(frozen=True)
class _DemoCase(Case):
    """The demo's model, and a request for one row of it."""

    written: bytes = b""

    def body(self, model: str, rows: int) -> bytes:
        """Return the request."""
        del model, rows
        return self.written


def _demo_body(way: Way, url: str) -> bytes:
    if way.protocol.is_grpc:
        return message(url, forest.NAME)
    return way.dialect.encode(frame_of(1))


def _measure_together(
    server: MlflowServer,
    folder: Path,
    trees: Trees,
    chosen: argparse.Namespace,
    rows: list[Row],
) -> None:
    """Overload several models of one service."""
    uris = [f"models:/{_register(server, case)}@{_ALIAS}" for case in together.CASES]
    file = folder / "models.toml"
    file.write_text(together.models_file(uris), "utf-8")
    settings = {"models_file": file, "ready_when": "all", "compiled": "off"}
    for tree, root in trees.items():
        with _serving(server, folder, root, grpc_port=free_port(), **settings) as service:
            _keep(rows, chosen, service, together.LOADS, tree)


def _register(server: MlflowServer, case: Case) -> str:
    name = f"slow-{case.key}"
    version = register_python_model(server, name, cases.MODEL_FILE, case.model)
    server.set_alias(name, _ALIAS, version)
    return name


def _serving_one(
    server: MlflowServer, folder: Path, root: Path, model: str, case: Case
) -> AbstractContextManager[Server]:
    """Run the service of one tree, with the model of a case."""
    settings = {
        "model_uri": f"models:/{model}@{_ALIAS}",
        "request_timeout_s": case.limit_s,
        "compiled": "off",
        **case.settings,
    }
    grpc_port = free_port() if case.protocol.is_grpc else 0
    return _serving(server, folder, root, grpc_port=grpc_port, **settings)


@contextlib.contextmanager
def _serving(
    server: MlflowServer, folder: Path, root: Path, *, grpc_port: int, **settings: Any
) -> Iterator[Server]:
    """Run the service of one tree until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    here = Path(tempfile.mkdtemp(prefix="service-", dir=folder))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OTHERS)}
    settings = {
        "port": port,
        "cache_dir": here / "cache",
        "mlflow_tracking_uri": server.uri,
        "log_format": "json",
        **settings,
    }
    if grpc_port:
        settings["grpc_port"] = grpc_port
    environ = kept | {key.upper(): str(value) for key, value in settings.items()}
    environ["PYTHONPATH"] = str(root)
    command = [sys.executable, "-m", "service", "serve"]
    with running(command, environ, here, lambda: _is_up(url)) as tree:
        yield Server(url, ProcessTree(tree.root.pid), here / "server.log", grpc_port)


def _is_up(url: str) -> bool:
    import httpx  # noqa: PLC0415 - as tools does

    try:
        return httpx.get(f"{url}/health", timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def _trees(revision: str, *, alone: bool) -> Iterator[Trees]:
    """Give the trees to measure: this one, and another revision where one is named."""
    if not revision:
        yield {"this": _HERE}
        return
    with tempfile.TemporaryDirectory(prefix="overload-tree-") as name:
        other = Path(name)
        check_out(revision, other)
        yield {revision: other} if alone else {revision: other, "this": _HERE}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    slow = [case.key for case in cases.SLOW]
    ways = {way.protocol.key: way for way in WAYS}
    listed = {
        "--cases": ([*slow, _DEMO, _TOGETHER], "what is overloaded"),
        "--protocols": ([*ways], "by what; `together` takes all of them in any case"),
    }
    for name, (keys, what) in listed.items():
        told = f"{what}: {', '.join(keys)}; all, unless some are named"
        parser.add_argument(name, type=partial(_listed, keys), default=keys, help=told)
    parser.add_argument(
        "--short", action="store_true", help="the slow models for 8 s at three times the capacity"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument(
        "--factors",
        type=lambda text: [float(f) for f in text.split(",")],
        help="how many times the capacity: 1.2,3,10, and 1.2,2 for the demo's model, unless named; "
        f"`together` is always {together.FACTOR:g} times",
    )
    parser.add_argument("--against", default="", metavar="REV", help="measure this revision, too")
    parser.add_argument("--alone", action="store_true", help="measure that revision alone")
    parser.add_argument("--results", type=Path, default=Path(".bench/overload.jsonl"))
    chosen = parser.parse_args()
    if chosen.short:
        chosen.seconds, chosen.factors, chosen.cases = _SHORT_S, [3.0], slow
    chosen.ways = [ways[key] for key in chosen.protocols]
    return chosen


def _listed(keys: Sequence[str], text: str) -> list[str]:
    """Return what is named. Raise ArgumentTypeError where it is none of the keys."""
    named = text.split(",")
    if unknown := set(named) - set(keys):
        wrong = ", ".join(sorted(unknown))
        raise argparse.ArgumentTypeError(f"there is no {wrong}; there are {', '.join(keys)}")
    return named


if __name__ == "__main__":
    sys.exit(main())
