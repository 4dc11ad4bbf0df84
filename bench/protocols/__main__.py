"""What a request costs by each protocol, and beside the servers whose protocol it is.

    python -m bench.protocols [--rounds 5] [--seconds 3] [--ours]

Builds the model, starts the service and, unless `--ours`, `mlflow models serve` and MLServer, which
are asked in their own protocol as this service is. Writes both tables into docs/performance.md.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bench import contenders
from bench.contenders import Contender
from bench.ground import prepared
from bench.loads import BULK, SINGLE, Bodies
from bench.page import PERFORMANCE, ranged, table
from bench.page import replace as written
from bench.protocols import ways
from bench.results import Results
from bench.rounds import Rounds
from service.commands.demo import model as forest

_LOADS = (SINGLE[0], SINGLE[1], BULK[0])


def main() -> int:
    """Measure, print and write. Return 1 where something failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load in each round")
    parser.add_argument("--ours", action="store_true", help="without other servers")
    parser.add_argument("--environments", type=Path, default=Path(".bench/environments"))
    chosen = parser.parse_args()
    with prepared(chosen.environments) as ground:
        bodies = Bodies(ground.folder / "bodies", ground.load())
        found = ways.measure(ground, bodies, chosen.rounds, chosen.seconds)
        print(ways.tables(found), flush=True)
        results = Results.begun()
        results.rounds, results.seconds = chosen.rounds, chosen.seconds
        method = (
            f"Measured on {results.began.date().isoformat()}, {chosen.rounds} rounds of "
            f"{chosen.seconds} s; the median, and in parentheses the least and the most. "
            f"{results.machine.sentence}."
        )
        written(PERFORMANCE, "protocols", f"{method}\n\n{ways.tables(found)}")
        if chosen.ours:
            return int(any(seen.failed for seen in found))
        pairs = _pairs()
        everyone = [one for pair in pairs for one in pair]
        Rounds(ground, bodies, results, lambda: None).run(everyone, _LOADS)
        told = _table(results, pairs)
        print(told, flush=True)
        written(PERFORMANCE, "protocols-peers", told)
    failed = any(seen.failed for seen in found) or any(cell.failed for cell in results.cells)
    return int(failed or any(s.broken or s.unanswered for s in results.standings.values()))


def _pairs() -> list[tuple[Contender, Contender]]:
    """Return this service in each other server's protocol, and that server."""
    return [
        (_ours(contenders.MLFLOW_SERVE, "/invocations"), contenders.MLFLOW_SERVE),
        (_ours(contenders.MLSERVER, f"/v2/models/{forest.NAME}/infer"), contenders.MLSERVER),
    ]


def _ours(other: Contender, path: str) -> Contender:
    return replace(
        contenders.HOTSWAP,
        key=f"hotswap-{other.key}",
        title=f"hotswap, asked as {other.title}",
        dialect=other.dialect,
        path=path,
    )


def _table(results: Results, pairs: list[tuple[Contender, Contender]]) -> str:
    rows = []
    for pair in pairs:
        for load in _LOADS:
            ours, theirs = (results.cells_of(one.key, load.key) for one in pair)
            other = {cell.round: cell for cell in theirs}
            rates = [cell.rate / other[cell.round].rate for cell in ours if other.get(cell.round)]
            rows.append(
                [
                    f"{pair[1].title}, {load.title}",
                    *(ranged([cell.rate for cell in cells]) for cells in (ours, theirs)),
                    ranged(rates),
                    *(ranged([cell.p50_ms for cell in cells]) for cells in (ours, theirs)),
                ]
            )
    head = ["", "hotswap, requests a second", "the other", "times", "p50, ms", "the other"]
    return table(head, rows)


if __name__ == "__main__":
    sys.exit(main())
