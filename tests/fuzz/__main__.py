"""`python -m tests.fuzz --minutes 30 --seed N`: every target in turns, and a table of the counts.

`--only TARGET --case N` repeats one case of a seed; `--cases N` runs so many of each target instead
of a time.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from tests.fuzz.messages import MessageBodies
from tests.fuzz.parsers import Frames, MlModels, SettingTexts, StateFiles, Webhooks
from tests.fuzz.served import served
from tests.fuzz.tally import Tally, Target
from tests.fuzz.tensors import TensorBodies
from tools import mlflow_server

_SETTLE_EACH = 50
PARSERS = (Frames, MlModels, Webhooks, SettingTexts, StateFiles, TensorBodies, MessageBodies)
_SHARES = {"starts": 0.15, "state-files": 0.05, "frames": 0.05, "mlmodel": 0.05, "webhooks": 0.05}
"""Of the time; the rest is shared by the others alike."""


def run_for(targets: Sequence[Target], tally: Tally, seconds: float) -> None:
    """Run cases of all targets in turns until the time is over, each within its share."""
    rest = 1 - sum(_SHARES.get(target.name, 0) for target in targets)
    others = sum(target.name not in _SHARES for target in targets) or 1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # The one that is furthest behind its share.
        target = min(
            targets,
            key=lambda each: tally.seconds[each.name] / _SHARES.get(each.name, rest / others),
        )
        count = 1 if target.name == "starts" else _SETTLE_EACH
        run_cases([target], tally, count)


def run_cases(targets: Sequence[Target], tally: Tally, count: int) -> None:
    """Run so many more cases of each target."""
    for target in targets:
        for _ in range(count):
            tally.run(target, tally.cases.get(target.name, 0))
        tally.settle(target)


@contextmanager
def all_targets(names: set[str]) -> Iterator[list[Target]]:
    """Give the targets of these names (none: all), with a registry and a service if need be."""
    parsers: list[Target] = [parser() for parser in PARSERS]
    chosen = [parser for parser in parsers if not names or parser.name in names]
    if names and {parser.name for parser in chosen} == names:
        yield chosen
        return
    folder = Path(tempfile.mkdtemp(prefix="hotswap-fuzz-"))
    server = mlflow_server.start(folder / "mlflow")
    try:
        with served(folder, server) as callers:
            yield [*chosen, *(each for each in callers if not names or each.name in names)]
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run, print the table, and return 1 where there was a fault."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", action="append", default=[], help="a target's name")
    options.add_argument("--cases", type=int, help="of each target, instead of a time")
    options.add_argument("--case", type=int, help="this one alone")
    chosen = options.parse_args()
    # What is warned of is what is right of many cases.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    tally = Tally(chosen.seed, lambda line: print(line, flush=True))  # noqa: T201 - a command
    with all_targets(set(chosen.only)) as targets:
        if chosen.case is not None:
            for target in targets:
                tally.run(target, chosen.case)
                tally.settle(target)
        elif chosen.cases is not None:
            run_cases(targets, tally, chosen.cases)
        else:
            run_for(targets, tally, 60 * chosen.minutes)
    print(f"seed {chosen.seed}\n{tally.table()}")  # noqa: T201 - what the command is for
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
