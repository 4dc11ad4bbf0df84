"""Time predictors by the number of rows, and choose the fastest for each."""

import math
import time
from collections.abc import Mapping, Sequence

from service.contracts.contract import Call
from service.predictors.choosing.sizes import sized
from service.predictors.predictor import Predictor

SIZES = (1, 8, 64, 512, 4096)
_FEW_SIZES = (1, 512)
_RUNS = 15
ENOUGH_S = 0.06
"""Runs of one size end after so long; the first one is always made."""
_FIRST_ENOUGH_S = 0.005
_ALONE = 1.05
"""A run counts as alone where the process took at most so many times this thread's CPU time."""
_OTHERS_SHARE = 0.8
_FINE_CLOCK = time.get_clock_info("thread_time").resolution < 1e-6  # noqa: PLR2004 - some clocks tick in ms
_MARGIN = 0.98
"""An engine is preferred to one before it where it takes less than this share of its time."""


def time_sizes(predictor: Predictor, call: Call, enough_s: float = ENOUGH_S) -> dict[int, float]:
    """Return the milliseconds that a call of each size takes: the best of some runs.

    None for a size on which it raises.
    """
    return _time_some(predictor, call, SIZES, enough_s)


def time_few(
    pyfunc: Predictor, others: Sequence[Predictor], call: Call
) -> dict[str, dict[int, float]]:
    """Return by name what calls of few sizes take in few runs, since it is waited for.

    pyfunc's calls, the slowest by far, are timed no further than it may be chosen.
    """
    timings = {other.name: _time_some(other, call, _FEW_SIZES, _FIRST_ENOUGH_S) for other in others}
    least, *larger = _FEW_SIZES
    own = _time_some(pyfunc, call, (least,), _FIRST_ENOUGH_S)
    # More rows take it no less than one.
    open_sizes = [
        rows
        for rows in larger
        if least not in own
        or all(timing.get(rows, math.inf) >= own[least] for timing in timings.values())
    ]
    own |= _time_some(pyfunc, call, open_sizes, _FIRST_ENOUGH_S)
    return {pyfunc.name: own, **timings}


def _time_some(
    predictor: Predictor, call: Call, sizes: Sequence[int], enough_s: float
) -> dict[int, float]:
    found: dict[int, float] = {}
    for rows in sizes:
        batch = sized(call, rows)
        try:
            found[rows] = round(_best_s(predictor, batch, enough_s) * 1000, 4)
        except Exception:  # noqa: BLE001, S112 - a size that it can't answer is not chosen
            continue
    return found


def _best_s(predictor: Predictor, call: Call, enough_s: float) -> float:
    first = _once_s(predictor, call)
    best, spent = first, 0.0
    for _ in range(_RUNS):
        # The first run is cold; a slow one is not made warm for that.
        if spent + best > enough_s:
            break
        took = _once_s(predictor, call)
        spent += took
        best = min(best, took)
    return best


def _once_s(predictor: Predictor, call: Call) -> float:
    """Return what a call costs: the time that it takes, and most of what other threads spend on it.

    They spend it on a CPU that others have a use for, the server process before all. What this
    thread does alone is told by its CPU time: serving has the right of way, and by the clock a call
    would take as long as it was kept waiting.
    """
    began = time.perf_counter(), time.thread_time(), time.process_time()
    predictor.predict(call)
    ended = time.perf_counter(), time.thread_time(), time.process_time()
    clock_s, thread_s, process_s = (b - a for a, b in zip(began, ended, strict=True))
    if _FINE_CLOCK and process_s <= thread_s * _ALONE:
        return thread_s
    return clock_s + max(0.0, process_s - thread_s) * _OTHERS_SHARE


def choose(timings: Mapping[str, Mapping[int, float]], order: Sequence[str]) -> dict[int, str]:
    """Return the fastest for each size; of two that are as good as equal the first in `order`."""
    best: dict[int, str] = {}
    for rows in SIZES:
        chosen = ""
        for name in order:
            ms = timings[name].get(rows)
            if ms is None:
                continue
            if not chosen or ms < timings[chosen][rows] * _MARGIN:
                chosen = name
        if chosen:
            best[rows] = chosen
    return best
