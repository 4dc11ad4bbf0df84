"""What each further small model takes of a service."""

import time
from pathlib import Path

from bench.many.models import ALIAS, Models, served
from bench.page import shown, table
from bench.results import Spread
from tools.mlflow_server import MlflowServer
from tools.processes import pss_bytes

_MB = 1e6
_ONE_BY_ONE = 5


def measure(server: MlflowServer, folder: Path, count: int) -> str:
    """Return the table of a service with one model, and with so many."""
    names = {f"small-{number}": f"small-{number}" for number in range(count)}
    for name in names:
        for factor in (2.0, 3.0):
            server.register_tiny(name, factor)
    rows = []
    for some in (1, count):
        chosen = dict(list(names.items())[:some])
        for name in chosen:
            server.set_alias(name, ALIAS, 1)
        began = time.monotonic()
        with served(server, folder / f"further-{some}", chosen, keep_warm="false") as models:
            models.wait_serving(dict.fromkeys(chosen, "1"))
            started_s = time.monotonic() - began
            share = models.tree.rest()
            rows.append(_row(server, models, list(chosen), started_s, share))
            print(f"  {rows[-1]}", flush=True)
    head = [
        "models",
        "all answer after, s",
        "memory, MB (PSS)",
        "of that a worker",
        "server process",
    ]
    more = ["CPU at rest", "one promotion, s", "all promoted together, s"]
    return table([*head, *more], rows)


def _row(
    server: MlflowServer, models: Models, names: list[str], started_s: float, share: float
) -> list[str]:
    whole = models.tree.pss_bytes() / _MB
    workers = [pss_bytes(worker) / _MB for name in names for worker in models.workers(name)]
    main = pss_bytes(models.tree.root) / _MB
    single = []
    for name in names[:_ONE_BY_ONE]:
        began = time.monotonic()
        server.set_alias(name, ALIAS, 2)
        models.wait_serving({name: "2"})
        single.append(time.monotonic() - began)
    models.tree.rest()
    began = time.monotonic()
    # Those that were promoted one by one go back, and all others go on.
    wanted = {name: "1" if name in names[:_ONE_BY_ONE] else "2" for name in names}
    for name, version in wanted.items():
        server.set_alias(name, ALIAS, version)
    models.wait_serving(wanted)
    together_s = time.monotonic() - began
    each, one = Spread.of(workers), Spread.of(single)
    return [
        *(str(len(names)), f"{started_s:.1f}", f"{whole:.0f}"),
        *(shown(each) if each else "", f"{main:.0f}", f"{share:.2f}"),
        *(shown(one) if one else "", f"{together_s:.1f}"),
    ]
