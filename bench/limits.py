"""What bare ASGI callables lose to work that no server on this machine is spared.

The 99th percentile of their single-row traffic while another process loads the model, which is the
least that a promotion needs; while the model is tried and compiled, too; and while one reads bodies
of 10,000 rows and another process answers as many by the model. What they lose is the machine's and
the load generators', and no server's own.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench import contenders, starting, windows
from bench.beside_bulk import BULK_ROWS, sending
from bench.contenders import Contender
from bench.ground import Ground
from bench.line_process import LineProcess, line_process
from bench.loads import Bodies
from bench.model_cost import LOAD, PYFUNC, RAW, RawModel, raw_model
from bench.page import ranged, shown, table
from bench.results import Results
from bench.wrk import Driven, Target, drive

T = TypeVar("T")

_ALONE, _THEN = "alone", "then"
_LOADED = "while another process loads the model, twice in a second"
"""The model is loaded so often: once before it is timed, as `bench.apps.raw_model` does, and once
timed."""
_TRIED = (
    "while another process loads the model and answers 12 single rows, and a third computes for "
    "0.2 s at the lowest priority"
)
_TRIED_ROWS = 12
"""Gates ask so many rows at least: one alone, some together, each apart, all in another order."""
_COMPILED_S = 0.2
"""The CPU time to load a forest, compile it, and compare it with the model on 3,500 rows."""
_BULK = "while it reads 10,000-row bodies, and another process computes as many rows"
_WINDOW_S = 1
_SHORTEST_CALL_S = 0.05
"""A call of the model takes at least so long: it is asked for more rows than fill the time."""


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Drive the bare callables alone and beside either work, in turn."""
    results.limits = []
    with raw_model(ground) as model, line_process(ground, "niced") as niced:
        model.time(LOAD, 1, 1)

        def load() -> None:
            model.time(LOAD, 1, 1)

        def load_and_try() -> None:
            # The first call, which is not timed, is one of them.
            model.time(LOAD, 1, calls=0)
            model.time(PYFUNC, 1, calls=_TRIED_ROWS - 1)

        def load_try_and_compile() -> None:
            _beside(load_and_try, lambda: _compute(niced, _COMPILED_S))

        for contender in (contenders.BARE, contenders.RELAY):
            with starting.rested(contender, ground, bodies) as (url, _):
                small = bodies.target(url, contender.dialect, 1)
                drive(small, windows.CLIENTS, 1)
                _beside_work(_setup(contender, _LOADED), small, load, results)
                _beside_work(_setup(contender, _TRIED), small, load_try_and_compile, results)
                if contender is contenders.BARE:
                    bulk = bodies.target(url, contender.dialect, BULK_ROWS)
                    _beside_bulk(contender, small, bulk, model, results)


def _compute(niced: LineProcess, seconds: float) -> None:
    """Have so much CPU time spent by a process that stands back."""
    niced.send(str(seconds))
    niced.receive()


def _beside_work(setup: str, small: Target, work: Callable[[], object], results: Results) -> None:
    for number in range(1, results.rounds + 1):
        alone = drive(small, windows.CLIENTS, _WINDOW_S)
        then = _beside(lambda: drive(small, windows.CLIENTS, _WINDOW_S), work)
        _keep(results, setup, number, alone, then)


def _beside_bulk(
    contender: Contender, small: Target, bulk: Target, model: RawModel, results: Results
) -> None:
    calls = math.ceil((results.seconds + 1) / _SHORTEST_CALL_S)
    for number in range(1, results.rounds + 1):
        alone = drive(small, windows.CLIENTS, results.seconds)
        with sending(bulk, results.seconds + 1):
            then = _beside(
                lambda: drive(small, windows.CLIENTS, results.seconds),
                lambda: model.time(RAW, BULK_ROWS, calls),
            )
        _keep(results, _setup(contender, _BULK), number, alone, then)


def _setup(contender: Contender, work: str) -> str:
    return f"{contender.title}, {work}"


def _beside(first: Callable[[], T], work: Callable[[], object]) -> T:
    """Return what came of one thing beside which other work was done. Raise what either raises."""
    with ThreadPoolExecutor(1) as worker:
        working = worker.submit(work)
        came = first()
        working.result()
    return came


def _keep(results: Results, setup: str, number: int, alone: Driven, then: Driven) -> None:
    for name, driven in ((_ALONE, alone), (_THEN, then)):
        seen = windows.window(setup, name, number, driven)
        windows.show(seen)
        results.limits.append(seen)


def tables(results: Results) -> str:
    """Return a row for each work: the percentile without it and beside it, and their ratio."""
    rows = []
    for setup in dict.fromkeys(seen.setup for seen in results.limits):
        p99 = {
            name: [w.p99_ms for w in results.limits if (w.setup, w.name) == (setup, name)]
            for name in (_ALONE, _THEN)
        }
        times = windows.ratio(results.limits, setup, _THEN, _ALONE)
        if times is not None:
            rows.append([setup, ranged(p99[_ALONE]), ranged(p99[_THEN]), shown(times)])
    return table([f"p99, {windows.CLIENTS} clients", "alone, ms", "then, ms", "times"], rows)
