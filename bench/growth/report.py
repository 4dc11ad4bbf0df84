"""Write what was measured into docs/performance.md: a chart and a table for each part."""

from bench import charts
from bench.charts import Line
from bench.growth.part import Grown, Part, Point, by_panel
from bench.growth.watchers import BEARS
from bench.page import DOCS, PERFORMANCE, replace, short, table


def write(grown: Grown, parts: tuple[Part, ...]) -> None:
    """Write every part that was measured."""
    for part in parts:
        points = grown.parts.get(part.name)
        if points:
            drawn = [point for point in points if point.panel != BEARS]
            _draw(part, drawn)
            chart = f"![By {part.across}](performance-{part.name}.svg)"
            texts = [chart, _table(part, drawn), *_borne(points)]
            replace(PERFORMANCE, f"growth-{part.name}", "\n\n".join(texts))
        elif part.name in grown.failed:
            text = f"Could not be measured: {grown.failed[part.name]}"
            replace(PERFORMANCE, f"growth-{part.name}", text)
    began = grown.began.date().isoformat()
    replace(PERFORMANCE, "growth", f"The last of it measured on {began}. {grown.machine.sentence}.")
    print(f"written: {PERFORMANCE}", flush=True)


def _draw(part: Part, points: list[Point]) -> None:
    panels = {
        panel: [
            Line(title, [(point.at, point.value) for point in found if point.value > 0])
            for title, found in series.items()
        ]
        for panel, series in by_panel(points).items()
    }
    charts.lines(DOCS / f"performance-{part.name}.svg", panels, part.across)


def _table(part: Part, points: list[Point]) -> str:
    columns = dict.fromkeys((point.panel, point.series) for point in points)
    values = {(point.panel, point.series, point.at): point.value for point in points}
    rows = []
    for at in sorted({point.at for point in points}):
        found = (values.get((*column, at)) for column in columns)
        rows.append([f"{at:,.0f}", *("" if value is None else short(value) for value in found)])
    head = [part.across, *(f"{panel}: {series}" for panel, series in columns)]
    return table(head, rows)


def _borne(points: list[Point]) -> list[str]:
    borne = [point for point in points if point.panel == BEARS]
    if not borne:
        return []
    fleets = ", ".join(f"{point.value:,.0f} {point.series}" for point in borne)
    rule = "the largest fleet tried whose every poll was answered, and whose p99 was under 2 s"
    return [f"At a poll every 2 s it bears {fleets}: {rule}."]
