"""Tables of what was measured of every contender."""

from collections.abc import Callable, Sequence

from bench import contenders, loads
from bench.contenders import Contender
from bench.dialects import ARROW
from bench.loads import Load
from bench.page import ranged, short, table
from bench.results import Cell, Results, Spread

_JSON_LOADS = (*loads.SINGLE, *loads.BULK)


def peers(results: Results) -> str:
    """Return all tables of a run."""
    measured = [c for c in contenders.ALL if c.key in results.standings]
    began = results.began.date().isoformat()
    method = (
        f"Measured on {began}, {results.rounds} rounds of {results.seconds} s (half as long again "
        "for 10,000 rows); the median, and in parentheses the least and the most of the rounds. "
        f"{results.machine.sentence}."
    )
    memory = (
        "**Peak memory** in MB (PSS), all of a contender's processes, while a load ran; the loads "
        "ran in the order of the columns, so what an earlier one left behind may be in a later one"
    )
    parts = [
        method,
        "**Requests a second**",
        _by_load(results, measured, _JSON_LOADS, _rate),
        "**Latency**: p50 / p90 / p99 in ms, the medians of the rounds",
        _by_load(results, measured, _JSON_LOADS, _latency),
        "**CPU seconds for each 1,000 requests**, all of a contender's processes",
        _by_load(results, measured, _JSON_LOADS, _cpu),
        memory,
        _peak_memory(results, measured),
        _arrow(results),
        _remarks(results, measured),
    ]
    return "\n\n".join(part for part in parts if part)


def _by_load(
    results: Results,
    measured: Sequence[Contender],
    columns: Sequence[Load],
    told: Callable[[list[Cell]], str],
) -> str:
    rows = []
    for contender in measured:
        row = [contender.title]
        for load in columns:
            cells = results.cells_of(contender.key, load.key)
            failed = sum(cell.failed for cell in cells)
            text = told(cells) if cells else _why_none(results, contender, load)
            row.append(f"{text} **{failed} failed**" if failed else text)
        rows.append(row)
    return table(["", *(load.title for load in columns)], rows)


def _why_none(results: Results, contender: Contender, load: Load) -> str:
    standing = results.standings[contender.key]
    if standing.broken:
        return "broken"
    return "not answered" if load.key in standing.unanswered else ""


def _rate(cells: list[Cell]) -> str:
    return ranged([cell.rate for cell in cells])


def _cpu(cells: list[Cell]) -> str:
    return ranged([cell.cpu_s for cell in cells])


def _latency(cells: list[Cell]) -> str:
    columns = ([c.p50_ms for c in cells], [c.p90_ms for c in cells], [c.p99_ms for c in cells])
    spreads = [Spread.of(column) for column in columns]
    return " / ".join(short(spread.median) for spread in spreads if spread)


def _peak_memory(results: Results, measured: Sequence[Contender]) -> str:
    rows = []
    for contender in measured:
        peaks = results.standings[contender.key].peak_pss_bytes
        shown = (
            f"{peaks[load.key] / 1e6:.0f}" if load.key in peaks else "" for load in _JSON_LOADS
        )
        rows.append([contender.title, *shown])
    return table(["", *(load.title for load in _JSON_LOADS)], rows)


def _arrow(results: Results) -> str:
    rows = []
    for contender in contenders.OURS:
        for load in loads.ARROW:
            cells = results.cells_of(contender.key, load.key)
            if cells:
                rows.append(
                    [f"{contender.title}: {load.title}", _rate(cells), _latency(cells), _cpu(cells)]
                )
    if not rows:
        return ""
    head = ["", "requests a second", "p50 / p90 / p99, ms", "CPU s for each 1,000"]
    return f"**Arrow** (`{ARROW}`, both ways)\n\n{table(head, rows)}"


def _remarks(results: Results, measured: Sequence[Contender]) -> str:
    remarks = []
    for contender in measured:
        standing = results.standings[contender.key]
        if standing.broken:
            remarks.append(f"{contender.title} is broken: {_first_line(standing.broken)}")
        if standing.predictors:
            remarks.append(f"{contender.title} answers by {standing.predictors}.")
        if standing.paused:
            remarks.append(
                f"{contender.title} uses {standing.idle_share:.0%} of a core while nobody asks; it "
                "was stopped between its turns."
            )
        by_reason: dict[str, list[str]] = {}
        for load in loads.ALL:
            if load.key in standing.unanswered:
                reason = _first_line(standing.unanswered[load.key])
                by_reason.setdefault(reason, []).append(load.title)
        for reason, titles in by_reason.items():
            remarks.append(f"{contender.title} did not answer {'; '.join(titles)}: it {reason}")
    return "\n".join(f"- {remark}" for remark in remarks)


def _first_line(text: str) -> str:
    # Of a log the end tells why; of an answer all is one line.
    return text.strip().splitlines()[-1][:200].replace("|", "/").replace("`", "'")


def given() -> str:
    """Return what each contender was given."""
    rows = [[contender.title, contender.given] for contender in contenders.ALL]
    head = "| contender | what it is given |\n|---|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)
