"""The model's own time, and that of requests for the same rows, in turn."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench import asking, contenders, dialects, starting
from bench.ground import Ground
from bench.line_process import LineProcess, line_process
from bench.loads import Bodies
from bench.page import ranged, table
from bench.results import Results, Spread, Timing
from tools.processes import BrokenError

_SIZES = (1, 64, 1_000, 10_000)
_ROWS = 10_000
_CALLS = 10
RAW = "raw"
PYFUNC = "pyfunc"
LOAD = "load"
RATIO_LIMIT = 1.15
_ARROW, _JSON = "Arrow", "JSON"


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Time the model in a process of its own, then 10,000 rows in turn with requests for them."""
    results.model = []
    with raw_model(ground) as alone:
        for rows in _SIZES:
            for kind in (RAW, PYFUNC):
                results.model.append(Timing(kind, rows, 0, alone.time(kind, rows)))
        for contender in contenders.OURS:
            with starting.rested(contender, ground, bodies) as (url, _):
                _against(contender.key, url, alone, bodies, results)


class RawModel:
    """The model in a process of its own, which calls it as often as it is asked to."""

    def __init__(self, process: LineProcess) -> None:
        self._process = process

    def time(self, kind: str, rows: int, calls: int = _CALLS) -> list[float]:
        """Return the milliseconds of calls on a DataFrame that is ready."""
        self._process.send(json.dumps({"kind": kind, "rows": rows, "calls": calls}))
        took: list[float] = json.loads(self._process.receive())
        return took


@contextmanager
def raw_model(ground: Ground) -> Iterator[RawModel]:
    """Run the model in a process of its own until the block ends."""
    model = str(ground.model)
    with line_process(ground, "raw_model", model, stderr=subprocess.DEVNULL) as process:
        yield RawModel(process)


def _against(key: str, url: str, alone: RawModel, bodies: Bodies, results: Results) -> None:
    forms = {_ARROW: dialects.ARROW_STREAM, _JSON: dialects.INSTANCES}
    for name, dialect in forms.items():
        body = bodies.of(dialect, _ROWS)[0].read_bytes()
        try:
            asking.check(url, dialect, body, bodies.expected(_ROWS)[0])
        except BrokenError as error:
            print(f"  {key}, {name}: {error}", flush=True)
            results.failed[f"model: {key}, {name}"] = str(error)
            continue
        asking.timed(url, dialect, body, _CALLS)
        for number in range(1, results.rounds + 1):
            raw = Timing(f"{key} {name} {RAW}", _ROWS, number, alone.time(RAW, _ROWS))
            asked = Timing(f"{key} {name}", _ROWS, number, asking.timed(url, dialect, body, _CALLS))
            results.model.extend((raw, asked))
            print(
                f"  {key}, {name}, round {number}: {median(asked.ms):.1f} ms, the model "
                f"{median(raw.ms):.1f} ms",
                flush=True,
            )


def tables(results: Results) -> str:
    """Return the tables of a run."""
    rows = []
    for kind, title in ((RAW, "the raw scikit-learn model"), (PYFUNC, "mlflow.pyfunc")):
        found = {timing.rows: timing.ms for timing in results.model if timing.name == kind}
        rows.append([title, *(ranged(found.get(size, [])) for size in _SIZES)])
    alone = table(["ms a call", *(f"{n:,} rows" if n > 1 else "1 row" for n in _SIZES)], rows)
    rows = []
    for contender in contenders.OURS:
        for form in (_ARROW, _JSON):
            asked = _medians(results, f"{contender.key} {form}")
            raw = _medians(results, f"{contender.key} {form} {RAW}")
            spread = ratio(results, contender.key, form)
            if spread:
                ratios = ranged([asked[number] / raw[number] for number in asked])
                row = [ranged(list(asked.values())), ranged(list(raw.values())), ratios]
                rows.append([f"{contender.title}, {form}", *row])
    head = ["10,000 rows, 1 client", "the request, ms", "the raw model, ms", "ratio"]
    return f"{alone}\n\n{table(head, rows)}" if rows else alone


def ratio(results: Results, key: str, form: str = _ARROW) -> Spread | None:
    """Return the time of a 10,000-row request to that of the raw model, round by round."""
    asked = _medians(results, f"{key} {form}")
    raw = _medians(results, f"{key} {form} {RAW}")
    return Spread.of([asked[number] / raw[number] for number in asked if number in raw])


def _medians(results: Results, name: str) -> dict[int, float]:
    return {timing.round: median(timing.ms) for timing in results.model if timing.name == name}
