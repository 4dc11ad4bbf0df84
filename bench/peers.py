"""This service beside others, on one machine and under the same loads.

    python -m bench.peers [--parts peers,promotion,...] [--rounds 5] [--resume]
    python -m bench.peers --short [--contenders ...]
    python -m bench.peers --against REV [--rounds 12] [--starts 4]
    python -m bench.peers --render FILE

Builds the model, starts each contender, measures, and writes tables and charts into
docs/performance.md. What was measured is kept as it comes in the file `--results`, where each part
that is measured again replaces what was there; with `--resume` the rounds go on where they ended.
`--render` only writes the page again. `--against` measures this tree and another revision of this
service in turns, prints the ratios of their paired rounds, and writes no page. `--starts` starts
both anew so many times: where the scheduler places a process lasts as long as the process does.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    against,
    beside_bulk,
    budget,
    contenders,
    during_promotion,
    first_answer,
    limits,
    loads,
    memory,
    model_cost,
    report,
    tables,
)
from bench.contenders import Contender
from bench.ground import Ground, prepared
from bench.loads import Bodies, Load
from bench.results import Results
from bench.rounds import Rounds

_SHORT_CONTENDERS = "bare,guide,hotswap"
_SHORT_LOADS = (loads.SINGLE[0], loads.SINGLE[-1], loads.BULK[0])
Save = Callable[[], None]


def main() -> int:
    """Measure, keep, and write the page. Return 1 where something could not be measured."""
    chosen = _arguments()
    if chosen.render:
        report.write(Results.read(chosen.render))
        return 0
    if chosen.against:
        return _compare(chosen)
    path: Path = chosen.results
    results = Results.read(path) if path.exists() and not chosen.short else Results.begun()
    results.rounds, results.seconds = chosen.rounds, chosen.seconds
    if "peers" in chosen.parts and not chosen.resume:
        begun = Results.begun()
        results.began, results.machine = begun.began, begun.machine
        results.cells, results.standings = [], {}
    measured = _named(chosen.contenders)
    asked = _SHORT_LOADS if chosen.short else loads.ALL

    def save() -> None:
        results.write(path)

    with prepared(chosen.environments) as ground:
        for part in chosen.parts:
            print(f"== {part}", flush=True)
            began = time.monotonic()
            results.failed = {k: v for k, v in results.failed.items() if not k.startswith(part)}
            try:
                _measure(part, ground, results, save, measured, asked)
            except Exception as error:  # noqa: BLE001 - the other parts are still worth having
                print(f"{part} failed: {error!r}", flush=True)
                results.failed[part] = repr(error)
            print(f"== {part} took {time.monotonic() - began:.0f} s", flush=True)
            save()
    print(f"kept in {path}", flush=True)
    if chosen.short:
        print(tables.peers(results))
    else:
        report.write(results)
    return int(not _is_whole(results))


def _compare(chosen: argparse.Namespace) -> int:
    """Measure this tree and another revision. Return 1 where a round of either is missing."""
    path: Path = chosen.results.with_name("against.json")
    results = Results.begun()
    results.seconds = chosen.seconds
    with prepared(chosen.environments) as ground:
        bodies = Bodies(ground.folder / "bodies", ground.load())
        pair = against.pair(chosen.against, ground.folder / "before")
        rounds = Rounds(ground, bodies, results, lambda: results.write(path))
        for start in range(1, chosen.starts + 1):
            # Rounds that earlier starts measured are not measured again.
            results.rounds = chosen.rounds * start // chosen.starts
            rounds.run(pair, against.LOADS)
    print(f"kept in {path}\n", flush=True)
    print(against.table_of(results, *pair), flush=True)
    return int(not _is_whole(results))


def _measure(
    part: str,
    ground: Ground,
    results: Results,
    save: Save,
    measured: Sequence[Contender],
    asked: Sequence[Load],
) -> None:
    bodies = Bodies(ground.folder / "bodies", ground.load())
    if part == "peers":
        Rounds(ground, bodies, results, save).run(measured, asked)
    else:
        _OTHER_PARTS[part](ground, bodies, results)


_OTHER_PARTS: dict[str, Callable[[Ground, Bodies, Results], None]] = {
    "promotion": during_promotion.measure,
    "beside": beside_bulk.measure,
    "limits": limits.measure,
    "memory": memory.measure,
    "model": model_cost.measure,
    "start": first_answer.measure,
    "budget": budget.measure,
}
_PARTS = ("peers", *_OTHER_PARTS)


def _is_whole(results: Results) -> bool:
    standings = results.standings.values()
    return not results.failed and not any(s.broken or s.unanswered for s in standings)


def _named(keys: str) -> Sequence[Contender]:
    if not keys:
        return contenders.ALL
    return [contender for contender in contenders.ALL if contender.key in keys.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    keys = ",".join(contender.key for contender in contenders.ALL)
    parser.add_argument("--short", action="store_true", help="one round, to see that it works")
    parser.add_argument("--against", metavar="REV", help="only beside that revision")
    parser.add_argument("--starts", type=int, default=1, help="of both, with --against")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(_PARTS))
    parser.add_argument("--contenders", default="", help=f"some of {keys}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load in each round")
    parser.add_argument("--environments", type=Path, default=Path(".bench/environments"))
    parser.add_argument("--results", type=Path, default=Path(".bench/peers.json"))
    parser.add_argument("--resume", action="store_true", help="keep the rounds in that file")
    parser.add_argument("--render", type=Path, metavar="FILE", help="only write the page again")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    if chosen.short:
        chosen.parts, chosen.rounds, chosen.seconds = ["peers"], 1, 1
        chosen.contenders = chosen.contenders or _SHORT_CONTENDERS
        chosen.results = chosen.results.with_name("short.json")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
