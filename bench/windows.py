"""Single-row traffic for some seconds, and what went on meanwhile."""

from collections.abc import Sequence

from bench.page import ranged, short, table
from bench.results import Spread, Window
from bench.wrk import Driven

CLIENTS = 16


def window(setup: str, name: str, number: int, driven: Driven, took_s: float = 0.0) -> Window:
    """Return what wrk told as a window."""
    return Window(
        *(setup, name, number, driven.requests, driven.failed),
        *(driven.p50_ms, driven.p90_ms, driven.p99_ms, driven.max_ms, took_s),
    )


def show(seen: Window) -> None:
    """Print one as it comes."""
    print(
        f"  {seen.setup}, {seen.name}, round {seen.round}: {seen.requests} requests, "
        f"{seen.failed} failed, p50 {seen.p50_ms:.2f}, p99 {seen.p99_ms:.2f} ms"
        f"{f', took {seen.took_s:.2f} s' if seen.took_s else ''}",
        flush=True,
    )


def ratio(windows: Sequence[Window], setup: str, of: str, to: str) -> Spread | None:
    """Return the p99 of one window to that of another, in each round by itself."""
    base = {w.round: w.p99_ms for w in windows if (w.setup, w.name) == (setup, to)}
    return Spread.of(
        [
            seen.p99_ms / base[seen.round]
            for seen in windows
            if (seen.setup, seen.name) == (setup, of) and base.get(seen.round)
        ]
    )


def tables(windows: Sequence[Window]) -> str:
    """Return a table, a row for each kind of window."""
    kinds = dict.fromkeys((seen.setup, seen.name) for seen in windows)
    rows = []
    for setup, name in kinds:
        same = [seen for seen in windows if (seen.setup, seen.name) == (setup, name)]
        took = ranged([seen.took_s for seen in same if seen.took_s])
        rows.append(
            [
                f"{setup}: {name}",
                *(ranged([getattr(seen, field) for seen in same]) for field in _PERCENTILES),
                short(max(seen.max_ms for seen in same)),
                f"{sum(seen.requests for seen in same):,}",
                str(sum(seen.failed for seen in same)),
                took,
            ]
        )
    head = ["", "p50, ms", "p90, ms", "p99, ms", "slowest, ms", "requests", "failed"]
    if any(row[-1] for row in rows):
        return table([*head, "promotion took, s"], rows)
    return table(head, [row[:-1] for row in rows])


_PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")
