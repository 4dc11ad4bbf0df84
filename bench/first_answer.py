"""How long from the command to the first right answer, with the version in the store."""

import subprocess
import sys
import time

from bench import contenders, starting
from bench.ground import Ground
from bench.loads import Bodies
from bench.page import ranged, table
from bench.results import Results, Spread, Timing

_EMPTY = "an empty Python that imports MLflow and loads the model"
_LOAD = "import sys, mlflow; mlflow.pyfunc.load_model(sys.argv[1]); print('loaded', flush=True)"
LIMIT_S = 5
LIMIT_MORE_S = 1


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Start a bare interpreter and each of ours in turn, some times."""
    results.start = []
    for contender in contenders.OURS:
        # So that the version is in the store, and what is compiled of it.
        with starting.rested(contender, ground, bodies):
            pass
    for number in range(1, results.rounds + 1):
        _keep(results, _EMPTY, number, _until_loaded(ground))
        for contender in contenders.OURS:
            began = time.monotonic()
            with starting.started(contender, ground, bodies):
                _keep(results, contender.title, number, time.monotonic() - began)


def _until_loaded(ground: Ground) -> float:
    """Return the seconds from the start of a Python to the moment when it has loaded the model."""
    began = time.monotonic()
    command = [sys.executable, "-W", "ignore", "-c", _LOAD, str(ground.model)]
    with subprocess.Popen(command, env=ground.environ(), stdout=subprocess.PIPE) as process:
        said = process.stdout.readline() if process.stdout else b""
        took_s = time.monotonic() - began
    if not said:
        raise RuntimeError("the model could not be loaded")
    return took_s


def _keep(results: Results, name: str, number: int, took_s: float) -> None:
    print(f"  {name}, round {number}: {took_s:.2f} s", flush=True)
    results.start.append(Timing(name, 1, number, [took_s * 1000]))


def tables(results: Results) -> str:
    """Return the table of a run."""
    names = dict.fromkeys(timing.name for timing in results.start)
    return table(
        ["", "seconds"],
        [[name, ranged([took / 1000 for took in _of(results, name).values()])] for name in names],
    )


def seconds(results: Results, title: str) -> Spread | None:
    """Return how long a contender took."""
    return Spread.of([took / 1000 for took in _of(results, title).values()])


def seconds_more(results: Results, title: str) -> Spread | None:
    """Return how much longer than the empty Python a contender took, round by round."""
    empty = _of(results, _EMPTY)
    took = _of(results, title)
    return Spread.of([(took[number] - empty[number]) / 1000 for number in took if number in empty])


def _of(results: Results, name: str) -> dict[int, float]:
    return {timing.round: timing.ms[0] for timing in results.start if timing.name == name}
