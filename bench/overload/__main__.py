"""More requests than can be answered: what is answered all the same, and what it does to a server.

    python -m bench.overload [--seconds 60] [--cases alone,merged,rows,arrow,demo] [--against REV]
    python -m bench.overload --short

Requests come at a rate that does not heed the answers. With `--against` another revision is asked
the same, in turns with this tree. The table is printed; each line is kept in `--results` too.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import starting
from bench.against import check_out
from bench.ground import register_forest
from bench.loads import _frames
from bench.page import table
from service.commands.demo import model as forest
from tools import mlflow_server
from tools.mlflow_server import MlflowServer, free_port
from tools.overload import cases, measure
from tools.overload.cases import Case
from tools.overload.measure import Row, Server
from tools.processes import ProcessTree, running
from tools.python_models import register_python_model

_HERE = Path(__file__).resolve().parents[2]
_DEMO = "demo"
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
                for factor in chosen.factors or cases.FACTORS:
                    for tree, root in trees.items():
                        with _serving(server, folder, root, model, case) as service:
                            _keep(rows, chosen, _row(service, case, factor, chosen, tree))
            if _DEMO in chosen.cases:
                _measure_demo(server, folder, trees, chosen, rows)
        finally:
            server.stop()
    print(table(measure.HEAD, [measure.cells(row) for row in rows]))
    return 0


def _row(service: Server, case: Case, factor: float, chosen: argparse.Namespace, tree: str) -> Row:
    return measure.measure(service, case, factor, chosen.seconds, tree=tree)


def _keep(rows: list[Row], chosen: argparse.Namespace, row: Row) -> None:
    rows.append(row)
    print(" | ".join(measure.cells(row)), flush=True)
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    with chosen.results.open("a", encoding="utf-8") as file:
        file.write(f"{measure.as_json(row)}\n")


def _measure_demo(
    server: MlflowServer,
    folder: Path,
    trees: Trees,
    chosen: argparse.Namespace,
    rows: list[Row],
) -> None:
    """Overload the server itself: its model is faster than HTTP."""
    with server.active():
        version = register_forest(server, 12)
    server.set_alias(forest.NAME, forest.ALIAS, version)
    settings = {"compiled": "auto"}
    for limit_s, factor in itertools.product(cases.DEMO_LIMITS_S, cases.DEMO_FACTORS):
        title = f"the demo's model, 1 row, REQUEST_TIMEOUT_S={limit_s:g}"
        case = _DemoCase(_DEMO, title, {}, 1, 0.0, settings, limit_s=limit_s)
        for tree, root in trees.items():
            with _serving(server, folder, root, forest.NAME, case) as service:
                starting.rest_compiled(service.url, service.tree)
                measure.capacity(service, case, _DEMO_CLIENTS, 2.0)
                capacity = measure.capacity(service, case, _DEMO_CLIENTS, _DEMO_CAPACITY_S)
                known = dataclasses.replace(case, capacity=capacity)
                _keep(rows, chosen, _row(service, known, factor, chosen, tree))


class _DemoCase(Case):
    """The demo's model, and requests for it."""

    def body(self, rows: int) -> bytes:
        """Return a request for so many rows of the demo's."""
        from bench.dialects import INSTANCES  # noqa: PLC0415 - pandas takes a second

        return INSTANCES.encode(_frames(rows)[0])


def _register(server: MlflowServer, case: Case) -> str:
    name = f"slow-{case.key}"
    version = register_python_model(server, name, cases.MODEL_FILE, case.model)
    server.set_alias(name, _ALIAS, version)
    return name


@contextlib.contextmanager
def _serving(
    server: MlflowServer, folder: Path, root: Path, model: str, case: Case
) -> Iterator[Server]:
    """Run the service of one tree until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    here = Path(tempfile.mkdtemp(prefix=f"{case.key}-", dir=folder))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OTHERS)}
    settings = {
        "port": port,
        "cache_dir": here / "cache",
        "mlflow_tracking_uri": server.uri,
        "model_uri": f"models:/{model}@{_ALIAS}",
        "request_timeout_s": case.limit_s,
        "compiled": "off",
        "log_format": "json",
        **case.settings,
    }
    environ = kept | {key.upper(): str(value) for key, value in settings.items()}
    environ["PYTHONPATH"] = str(root)
    command = [sys.executable, "-m", "service", "serve"]
    with running(command, environ, here, lambda: _is_up(url)) as tree:
        yield Server(url, ProcessTree(tree.root.pid), here / "server.log")


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
    keys = [*(case.key for case in cases.SLOW), _DEMO]
    parser.add_argument("--short", action="store_true", help="8 s at three times the capacity")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=keys)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--factors", type=lambda text: [float(f) for f in text.split(",")])
    parser.add_argument("--against", default="", metavar="REV", help="measure this revision, too")
    parser.add_argument("--alone", action="store_true", help="measure that revision alone")
    parser.add_argument("--results", type=Path, default=Path(".bench/overload.jsonl"))
    chosen = parser.parse_args()
    if unknown := set(chosen.cases) - set(keys):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(keys)}")
    if chosen.short:
        chosen.seconds, chosen.factors, chosen.cases = _SHORT_S, [3.0], keys[:3]
    return chosen


if __name__ == "__main__":
    sys.exit(main())
