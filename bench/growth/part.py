"""What grows, and what is measured of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from bench.ground import Ground
from bench.results import Run


class Point(msgspec.Struct, frozen=True):
    """One quantity at one size: `panel` says what it is and its unit, `series` of which server."""

    panel: str
    series: str
    at: float
    value: float


Keep = Callable[[Point], None]


@dataclass(frozen=True)
class Part:
    """One thing that grows; `across` names it for readers."""

    name: str
    across: str
    measure: Callable[[Ground, Keep], None]


class Grown(Run):
    """What was measured, part by part."""

    parts: dict[str, list[Point]] = msgspec.field(default_factory=dict)
    failed: dict[str, str] = msgspec.field(default_factory=dict)


def by_panel(points: Sequence[Point]) -> dict[str, dict[str, list[Point]]]:
    """Return points by panel and series, in the order in which they came."""
    found: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        found.setdefault(point.panel, {}).setdefault(point.series, []).append(point)
    return found
