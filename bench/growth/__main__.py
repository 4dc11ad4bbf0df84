"""What it costs as the work grows.

    python -m bench.growth [--parts rows,columns,clients,size,watchers]
    python -m bench.growth --render FILE

Measures one part after another and writes a chart and a table of each into docs/performance.md.
What was measured is kept in the file `--results`: parts that are measured replace those in it.
"""

import argparse
import sys
import time
from pathlib import Path

from bench.ground import prepared
from bench.growth import report
from bench.growth.clients import CLIENTS
from bench.growth.columns import COLUMNS
from bench.growth.part import Grown, Point
from bench.growth.rows import ROWS
from bench.growth.size import SIZE
from bench.growth.watchers import WATCHERS

_PARTS = (ROWS, COLUMNS, CLIENTS, SIZE, WATCHERS)


def main() -> int:
    """Measure, keep, and write the page. Return 1 where something could not be measured."""
    chosen = _arguments()
    if chosen.render:
        report.write(Grown.read(chosen.render), _PARTS)
        return 0
    path: Path = chosen.results
    grown = Grown.read(path) if path.exists() else Grown.begun()
    begun = Grown.begun()
    grown.began, grown.machine = begun.began, begun.machine
    with prepared(Path()) as ground:
        for part in _PARTS:
            if part.name not in chosen.parts:
                continue
            print(f"== {part.name}", flush=True)
            began = time.monotonic()
            points = grown.parts[part.name] = []
            grown.failed.pop(part.name, None)

            def keep(point: Point, points: list[Point] = points) -> None:
                print(f"  {point.at:9,.0f} {point.value:12.3f}  {point.panel}: {point.series}")
                sys.stdout.flush()
                points.append(point)
                grown.write(path)

            try:
                part.measure(ground, keep)
            except Exception as error:  # noqa: BLE001 - the other parts are still worth having
                print(f"{part.name} failed: {error!r}", flush=True)
                grown.failed[part.name] = repr(error)
            print(f"== {part.name} took {time.monotonic() - began:.0f} s", flush=True)
            grown.write(path)
    report.write(grown, _PARTS)
    return int(bool(grown.failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in _PARTS]
    parser.add_argument("--parts", type=lambda text: text.split(","), default=names)
    parser.add_argument("--results", type=Path, default=Path(".bench/growth.json"))
    parser.add_argument("--render", type=Path, metavar="FILE", help="only write the page again")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(names)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
