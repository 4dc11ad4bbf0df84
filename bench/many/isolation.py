"""What happens to the answers of one model while something happens to another."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.dialects import INSTANCES
from bench.ground import MONTHS, register_forest
from bench.loads import Bodies
from bench.many.models import ALIAS, Models, served, write
from bench.page import shown, table
from bench.results import Spread
from bench.starting import rest_compiled
from bench.windows import CLIENTS
from bench.wrk import Driven, Target, drive
from service.commands.demo import model as forest
from tools.mlflow_server import MlflowServer
from tools.processes import ProcessTree

_WINDOW_S = 4
_FLOOD_CLIENTS = 64
_WATCH_S = 0.02
_BEFORE_S = 0.3
_A, _B, _C = "asked", "other", "further"
_BURN = """
import sys, time
ends = time.process_time() + float(sys.argv[1])
while time.process_time() < ends:
    pass
"""
Event = Callable[[], None]


@dataclass
class Seen:
    """One round of one event: p99 of the model that is asked, in ms."""

    event: str
    alone_ms: float
    beside_ms: float
    """The percentile while the event happens."""
    computing_ms: float
    """The percentile while a process computes for as long as the event took."""
    cpu_s: float
    failed: int


class _CpuWatch:
    """Counts the CPU seconds of a tree's processes, those that end meanwhile, too."""

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        known = {process.pid: _cpu_s(process) for process in tree.all()}
        self._first, self._last = dict(known), known
        self._thread.start()

    def stop(self) -> float:
        """Return what they have used since the start."""
        self._stopping.set()
        self._thread.join()
        return sum(used - self._first.get(pid, 0.0) for pid, used in self._last.items())

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for process in self._tree.all():
                self._last[process.pid] = max(self._last.get(process.pid, 0), _cpu_s(process))


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def measure(server: MlflowServer, folder: Path, rounds: int) -> str:
    """Return the table of all events."""
    good = [register_forest(server, MONTHS, seed) for seed in range(rounds + 2)]
    registered = {name: f"forest-{name}" for name in (_A, _B, _C)}
    for name in registered.values():
        for version in good:
            with server.active() as mlflow:
                source = mlflow.MlflowClient().get_model_version(forest.NAME, version).source
            server.register_source(name, source)
        server.set_alias(name, ALIAS, 1)
    bad = server.register_unruly(registered[_B], on_load="raise")
    with server.active() as mlflow:
        model = mlflow.pyfunc.load_model(f"models:/{registered[_A]}@{ALIAS}")
    bodies = Bodies(folder / "bodies", model)
    seen: list[Seen] = []
    with served(server, folder / "isolation", {_A: registered[_A], _B: registered[_B]}) as models:
        models.wait_serving({_A: "1", _B: "1"})
        rest_compiled(f"{models.service.url}/predict", models.tree)
        a = bodies.target(f"{models.service.url}/models/{_A}/predict", INSTANCES, 1)
        b = bodies.target(f"{models.service.url}/models/{_B}/predict", INSTANCES, 1)
        drive(a, CLIENTS, 1)
        other = _Other(server, models, registered, bad)

        def flood() -> None:
            drive(b, _FLOOD_CLIENTS, _WINDOW_S - 1)

        for number in range(1, rounds + 1):
            events: list[tuple[str, Event, Event]] = [
                ("loads", other.add, other.remove),
                ("is promoted", partial(other.promote, str(number + 1)), other.promote),
                ("crashes", other.crash, other.wait),
                ("is refused", other.refuse, other.promote),
                ("is flooded by 64 clients", flood, other.wait),
            ]
            for event, act, undo in events:
                seen.append(_round(models, a, event, act, undo))
                print(f"  {seen[-1]}", flush=True)
    return _table(seen)


class _Other:
    """The model to which something happens, and what has to be put right afterwards."""

    def __init__(
        self, server: MlflowServer, models: Models, registered: dict[str, str], bad: str
    ) -> None:
        self._server = server
        self._models = models
        self._registered = registered
        self._bad = bad

    def promote(self, version: str = "1") -> None:
        """Promote it to a version, and wait until that serves."""
        self._server.set_alias(self._registered[_B], ALIAS, version)
        self._models.wait_serving({_B: version})

    def crash(self) -> None:
        """Kill its workers."""
        for worker in self._models.workers(_B):
            worker.kill()

    def wait(self) -> None:
        """Wait until it answers again."""
        self._models.wait_serving({_B: "1"})

    def add(self) -> None:
        """Serve a third model, too."""
        write(self._models.file, self._registered)
        self._models.wait_serving({_C: "1"})

    def remove(self) -> None:
        """Serve it no more."""
        write(self._models.file, {name: self._registered[name] for name in (_A, _B)})
        self._models.service.wait_until(lambda: _C not in self._models.health(), "it is gone")

    def refuse(self) -> None:
        """Promote a version that does not load."""
        self._server.set_alias(self._registered[_B], ALIAS, self._bad)
        self._models.service.wait_until(
            lambda: "refused" in str(self._models.health()[_B].get("degraded")), "it is refused"
        )


def _round(models: Models, a: Target, event: str, act: Event, undo: Event) -> Seen:
    url = f"{models.service.url}/predict"
    rest_compiled(url, models.tree)
    watch = _CpuWatch(models.tree)
    alone = drive(a, CLIENTS, _WINDOW_S)
    for_each_s = watch.stop() / max(1, alone.requests)
    watch = _CpuWatch(models.tree)
    beside = _while(a, act)
    # What the event took by itself: all that was used, less what the answers took.
    cpu_s = max(0.0, watch.stop() - for_each_s * beside.requests)
    undo()
    rest_compiled(url, models.tree)
    computing = _while(a, partial(_compute, cpu_s))
    failed = alone.failed + beside.failed + computing.failed
    return Seen(event, alone.p99_ms, beside.p99_ms, computing.p99_ms, cpu_s, failed)


def _compute(cpu_s: float) -> None:
    subprocess.run([sys.executable, "-c", _BURN, f"{cpu_s:.3f}"], check=True)


def _while(a: Target, act: Event) -> Driven:
    """Ask one model while something is done."""
    acting = threading.Timer(_BEFORE_S, act)
    acting.start()
    driven = drive(a, CLIENTS, _WINDOW_S)
    acting.join()
    return driven


def _table(seen: list[Seen]) -> str:
    rows = []
    for event in dict.fromkeys(one.event for one in seen):
        of = [one for one in seen if one.event == event]
        spreads = (
            Spread.of([one.alone_ms for one in of]),
            Spread.of([one.beside_ms for one in of]),
            Spread.of([one.computing_ms for one in of]),
            Spread.of([one.cpu_s for one in of]),
            Spread.of([one.beside_ms / one.computing_ms for one in of if one.computing_ms]),
        )
        failed = sum(one.failed for one in of)
        rows.append([event, *(shown(spread) if spread else "" for spread in spreads), str(failed)])
    head = ["another model", "p99 alone, ms", "p99 meanwhile", "p99 beside the same computing"]
    return table([*head, "CPU seconds", "ratio", "failed"], rows)
