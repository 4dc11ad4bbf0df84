"""Write what was measured into docs/performance.md, with its charts beside it."""

from bench import (
    budget,
    charts,
    contenders,
    first_answer,
    limits,
    loads,
    memory,
    model_cost,
    tables,
    targets,
    windows,
)
from bench.charts import Dot
from bench.page import DOCS, PERFORMANCE, replace, table
from bench.results import Results, Spread

_TARGETS = ("", "wanted", "measured", "reached")
_COLOURS = {
    contenders.BARE.key: charts.LIMIT,
    **{contender.key: charts.OURS for contender in contenders.OURS},
}


def write(results: Results) -> None:
    """Write every part that was measured."""
    replace(PERFORMANCE, "given", tables.given())
    if results.cells:
        _rates(results)
        chart = "![Requests a second, for each load and contender](performance-peers.svg)"
        replace(PERFORMANCE, "peers", f"{chart}\n\n{tables.peers(results)}")
    if results.promotion:
        replace(PERFORMANCE, "promotion", windows.tables(results.promotion))
    if results.beside:
        replace(PERFORMANCE, "beside", windows.tables(results.beside))
    if results.limits:
        replace(PERFORMANCE, "limits", limits.tables(results))
    if results.memory:
        replace(PERFORMANCE, "memory", memory.tables(results))
    if results.model:
        replace(PERFORMANCE, "model", model_cost.tables(results))
    if results.start:
        replace(PERFORMANCE, "start", first_answer.tables(results))
    if results.budget:
        replace(PERFORMANCE, "budget", budget.tables(results))
    reached = targets.rows(results)
    if reached:
        failed = [f"- {part} could not be measured: {why}" for part, why in results.failed.items()]
        replace(PERFORMANCE, "targets", "\n".join([table(_TARGETS, reached), "", *failed]))
    print(f"written: {PERFORMANCE}", flush=True)


def _rates(results: Results) -> None:
    panels = {}
    for load in (*loads.SINGLE, *loads.BULK):
        panel = []
        for contender in contenders.ALL:
            cells = results.cells_of(contender.key, load.key)
            spread = Spread.of([cell.rate for cell in cells])
            if spread and spread.median > 0:
                colour = _COLOURS.get(contender.key, charts.THEIRS)
                panel.append(Dot(contender.title, spread, colour))
        panels[load.title] = panel
    charts.dots(DOCS / "performance-peers.svg", panels, "Requests a second (more is better)")
