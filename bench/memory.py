"""What a service's parts take of memory, with one worker and with two."""

from bench import asking, contenders, starting
from bench.contenders import Contender
from bench.ground import Ground
from bench.loads import Bodies
from bench.page import table
from bench.results import Memory, Results
from tools.processes import ProcessTree, pss_bytes

_WORKERS = (1, 2)
_WARM_CLIENTS = 8
_WARM_S = 2.0
SERVER_LIMIT_MB = 120
_MB = 1e6


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Start each of ours with one worker and with two, ask it for a while, and look."""
    results.memory = []
    for contender in contenders.OURS:
        with starting.started(contender, ground, bodies):
            # Once before: else the first would have the process that downloaded, which soon ends.
            pass
        for workers in _WORKERS:
            settings = {"WORKERS": str(workers)}
            with starting.rested(contender, ground, bodies, **settings) as (url, tree):
                body = bodies.of(contender.dialect, 1)[0].read_bytes()
                asking.warm(url, contender.dialect, body, _WARM_CLIENTS, _WARM_S)
                results.memory.append(_look(contender, workers, url, tree))
            print(f"  {contender.title}, {results.memory[-1]}", flush=True)


def _look(contender: Contender, workers: int, url: str, tree: ProcessTree) -> Memory:
    pids = set(starting.info(url)["serving"]["pool"]["pids"])
    below = [process for process in tree.all() if process.pid != tree.root.pid]
    return Memory(
        contender.key,
        workers,
        front=pss_bytes(tree.root),
        each_worker=[pss_bytes(process) for process in below if process.pid in pids],
        others=sum(pss_bytes(process) for process in below if process.pid not in pids),
    )


def tables(results: Results) -> str:
    """Return the table of a run."""
    titles = {contender.key: contender.title for contender in contenders.OURS}
    rows = []
    for key, title in titles.items():
        found = {seen.workers: seen for seen in results.memory if seen.contender == key}
        for workers, seen in found.items():
            before = found.get(workers - 1)
            added = f"{(seen.whole - before.whole) / _MB:.0f}" if before else ""
            each = ", ".join(f"{size / _MB:.0f}" for size in seen.each_worker)
            parts = (f"{seen.front / _MB:.0f}", each, f"{seen.others / _MB:.0f}")
            rows.append([f"{title}, WORKERS={workers}", *parts, f"{seen.whole / _MB:.0f}", added])
    head = [
        "MB (PSS)",
        "server process",
        "workers",
        "fork server, registry processes, standby worker",
        "whole",
        "the last worker adds",
    ]
    return table(head, rows) + f"\n\nWanted: a server process of {SERVER_LIMIT_MB} MB at most."
