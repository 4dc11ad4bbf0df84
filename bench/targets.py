"""What this service wants to reach against others, and what it reached in one run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import (
    beside_bulk,
    contenders,
    during_promotion,
    first_answer,
    memory,
    model_cost,
)
from bench.page import shown
from bench.results import Cell, Results, Spread

Measure = Callable[[Cell], float]


@dataclass(frozen=True)
class Target:
    """A ratio of ours to another's, in each round by itself."""

    text: str
    ours: str
    others: tuple[str, ...]
    """The contenders of which the best counts."""
    load: str
    measure: Measure
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, results: Results) -> Spread | None:
        """Return the ratio's spread over the rounds; None where it was not measured."""
        others = {
            other: spread.median
            for other in self.others
            if (spread := Spread.of([*map(self.measure, results.cells_of(other, self.load))]))
        }
        if not others:
            return None
        best = max(others, key=lambda other: others[other])
        theirs = {cell.round: self.measure(cell) for cell in results.cells_of(best, self.load)}
        ratios = [
            self.measure(cell) / theirs[cell.round]
            for cell in results.cells_of(self.ours, self.load)
            if theirs.get(cell.round)
        ]
        return Spread.of(ratios)


def _rate(cell: Cell) -> float:
    return cell.rate


def _p50(cell: Cell) -> float:
    return cell.p50_ms


_PEERS = tuple(peer.key for peer in contenders.PEERS)
_OURS, _PYFUNC = contenders.HOTSWAP.key, contenders.HOTSWAP_PYFUNC.key
_GUIDE, _BARE = contenders.GUIDE.key, contenders.BARE.key

_SINGLE = "single-row, 64 clients, compiled"
_LONE = "single-row, 1 client, p50, compiled"

TARGETS = (
    Target(
        f"{_SINGLE}: times the guide's app",
        *(_OURS, (_GUIDE,), "1x64", _rate),
        at_least=120,
    ),
    Target(f"{_SINGLE}: times the best peer", _OURS, _PEERS, "1x64", _rate, at_least=8),
    Target(f"{_SINGLE}: of bare ASGI", _OURS, (_BARE,), "1x64", _rate, at_least=0.4),
    Target(
        "single-row, 64 clients, compiled off: times the best peer",
        *(_PYFUNC, _PEERS, "1x64", _rate),
        at_least=2,
    ),
    Target(
        f"{_LONE}: of the guide's app's",
        *(_OURS, (_GUIDE,), "1x1", _p50),
        at_most=1 / 30,
    ),
    Target(f"{_LONE}: times bare ASGI's", _OURS, (_BARE,), "1x1", _p50, at_most=6),
    Target("100 rows, 8 clients: times the best peer", _OURS, _PEERS, "100x8", _rate, at_least=15),
    Target(
        "1,000 rows, 4 clients: times the best peer",
        *(_OURS, _PEERS, "1000x4", _rate),
        at_least=3,
    ),
)


def rows(results: Results) -> list[list[str]]:
    """Return a row for each target that was measured: what was wanted, what was reached."""
    found = [
        (target.text, target.reached(results), target.at_least, target.at_most)
        for target in TARGETS
    ]
    found += [(text, spread, None, at_most) for text, spread, at_most in _within(results)]
    return [
        _row(text, spread, at_least, at_most)
        for text, spread, at_least, at_most in found
        if spread is not None
    ]


def _within(results: Results) -> Iterator[tuple[str, Spread | None, float]]:
    """Give what is measured by itself, with the most that it may be."""
    arrow = model_cost.ratio(results, _OURS)
    yield "10,000 rows, Arrow: times the raw model", arrow, model_cost.RATIO_LIMIT
    for setup, spread in during_promotion.ratios(results.promotion).items():
        text = f"p99 during a promotion, times that before it ({setup})"
        yield text, spread, during_promotion.RATIO_LIMIT
    if results.promotion:
        failed = float(sum(window.failed for window in results.promotion))
        yield "failed requests around all these promotions", Spread(failed, failed, failed), 0
    for setup, spread in beside_bulk.ratios(results.beside).items():
        text = f"p99 beside a 10,000-row body, times that without ({setup})"
        yield text, spread, beside_bulk.RATIO_LIMIT
    title = contenders.HOTSWAP.title
    start = first_answer.seconds(results, title)
    yield "from `serve` to the first answer, seconds", start, first_answer.LIMIT_S
    more = first_answer.seconds_more(results, title)
    text = "the same, more than an empty Python that loads the model, seconds"
    yield text, more, first_answer.LIMIT_MORE_S
    servers = [seen.front / 1e6 for seen in results.memory]
    yield "memory of the server process, MB", Spread.of(servers), memory.SERVER_LIMIT_MB


def _row(text: str, spread: Spread, at_least: float | None, at_most: float | None) -> list[str]:
    if at_least is not None:
        bound, met = f"at least {at_least:.3g}", spread.median >= at_least
    else:
        bound, met = f"at most {at_most or 0:.3g}", spread.median <= (at_most or 0)
    return [text, bound, shown(spread), "yes" if met else "no"]
