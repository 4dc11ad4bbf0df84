"""This tree beside another revision of the same service: both up, in turns, under the same loads.

Figures of different runs say little about a change: the machine may have another day. Here each
round has both, and what counts is the ratio within a round.
"""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import contenders, loads
from bench.contenders import Contender
from bench.loads import Load
from bench.page import short, shown, table
from bench.results import Cell, Results, Spread

LOADS = (loads.SINGLE[2], loads.BULK[0], *loads.ARROW)
"""The loads that are compared: 64 clients, 100 rows, and Arrow."""
AT_LEAST = 0.97
"""The median ratio to the other revision's requests in the same round may be no less."""

_ROOT = Path(__file__).resolve().parents[1]


class NoRevisionError(Exception):
    """Git has no such revision, in the words of git."""


def pair(revision: str, folder: Path) -> tuple[Contender, Contender]:
    """Return this tree and another revision of it, whose files are put into a folder.

    Both run with the packages that are installed here. Raise NoRevisionError.
    """
    check_out(revision, folder)
    now = replace(contenders.HOTSWAP, key="now", title="this tree")
    before = replace(
        contenders.HOTSWAP,
        key="before",
        title=revision,
        environ={**contenders.HOTSWAP.environ, "PYTHONPATH": str(folder)},
    )
    return now, before


def check_out(revision: str, folder: Path) -> None:
    """Put a revision's files into a folder. The repository stays as it is.

    Raise NoRevisionError.
    """
    archived = subprocess.run(
        ["git", "archive", "--format=tar", revision],  # noqa: S607 - whichever git is there
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if archived.returncode:
        raise NoRevisionError(archived.stderr.decode("utf-8", "replace").strip())
    folder.mkdir(parents=True, exist_ok=True)
    # Python's own way to unpack safely is missing before 3.11.4.
    subprocess.run(["tar", "-x"], cwd=folder, input=archived.stdout, check=True)  # noqa: S607 - see above


def table_of(results: Results, now: Contender, before: Contender) -> str:
    """Return what each answered, and the ratio of their rounds, for each load."""
    rows = [_row(results, load, now, before) for load in LOADS]
    head = [
        *("", f"{now.title}, requests a second", before.title, "ratio of the rounds"),
        *("p50, ratio", "p99, ratio", f"median at least {AT_LEAST}"),
    ]
    failed = sum(cell.failed for cell in results.cells)
    told = f"{results.rounds} rounds of {results.seconds} s in turns; {failed} requests failed."
    return f"{told}\n\n{table(head, rows)}"


def ratios(
    results: Results, load: Load, now: Contender, before: Contender, of: Callable[[Cell], float]
) -> list[float]:
    """Return this tree's figure by the other's, for each round that has both."""
    other = {cell.round: of(cell) for cell in results.cells_of(before.key, load.key)}
    return [
        of(cell) / other[cell.round]
        for cell in results.cells_of(now.key, load.key)
        if other.get(cell.round)
    ]


def _row(results: Results, load: Load, now: Contender, before: Contender) -> list[str]:
    rates = Spread.of(ratios(results, load, now, before, lambda cell: cell.rate))
    p50 = Spread.of(ratios(results, load, now, before, lambda cell: cell.p50_ms))
    p99 = Spread.of(ratios(results, load, now, before, lambda cell: cell.p99_ms))
    if rates is None or p50 is None or p99 is None:
        return [load.title, *("not measured" for _ in range(6))]
    answered = (
        Spread.of([cell.rate for cell in results.cells_of(one.key, load.key)])
        for one in (now, before)
    )
    return [
        load.title,
        *(short(spread.median) if spread else "" for spread in answered),
        *(shown(spread) for spread in (rates, p50, p99)),
        "yes" if rates.median >= AT_LEAST else "no",
    ]
