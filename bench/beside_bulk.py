"""Single-row traffic beside a client that sends 10,000 rows at a time, and without it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import contenders, starting, windows
from bench.ground import Ground
from bench.loads import Bodies
from bench.results import Results, Spread, Window
from bench.wrk import Target, command, drive, told

_ALONE = "alone"
_BESIDE = "beside 10,000-row bodies"
BULK_ROWS = 10_000
_LEAD_S = 0.5
_WORKERS = (1, 2)
RATIO_LIMIT = 2


def measure(ground: Ground, bodies: Bodies, results: Results) -> None:
    """Measure each of ours with one worker and with two, alone and beside, in turn."""
    results.beside = []
    for contender in contenders.OURS:
        for workers in _WORKERS:
            setup = f"{contender.title}, WORKERS={workers}"
            settings = {"WORKERS": str(workers)}
            with starting.rested(contender, ground, bodies, **settings) as (url, tree):
                small = bodies.target(url, contender.dialect, 1)
                bulk = bodies.target(url, contender.dialect, BULK_ROWS)
                drive(small, windows.CLIENTS, 1)
                for number in range(1, results.rounds + 1):
                    driven = drive(small, windows.CLIENTS, results.seconds)
                    alone = windows.window(setup, _ALONE, number, driven)
                    with sending(bulk, results.seconds + 1) as failed:
                        driven = drive(small, windows.CLIENTS, results.seconds)
                    beside = windows.window(setup, _BESIDE, number, driven)
                    beside.failed += sum(failed)
                    for seen in (alone, beside):
                        windows.show(seen)
                        results.beside.append(seen)
                    tree.settle(0.1)


@contextmanager
def sending(target: Target, for_s: int) -> Iterator[list[int]]:
    """Send bulk from one client until past the block's end; give how many requests failed."""
    failed: list[int] = []
    with subprocess.Popen(
        command(target, 1, for_s), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(_LEAD_S)
        yield failed
        out, err = process.communicate(timeout=60)
        failed.append(told(out, err).failed)


def ratios(found: list[Window]) -> dict[str, Spread]:
    """Return, for each setup, the p99 beside bulk to that without."""
    setups = dict.fromkeys(seen.setup for seen in found)
    spreads = {setup: windows.ratio(found, setup, _BESIDE, _ALONE) for setup in setups}
    return {setup: spread for setup, spread in spreads.items() if spread}
