"""What grows, and what is measured of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from bench.ground import Ground
from bench.machine import Machine


class Point(msgspec.Struct, frozen=True):
    """One quantity at one size: `panel` says what it is and its unit, `series` of whom."""

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


class Grown(msgspec.Struct):
    """What was measured, part by part, as it is kept in a JSON file."""

    began: datetime
    machine: Machine
    parts: dict[str, list[Point]] = msgspec.field(default_factory=dict)
    failed: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def begun(cls) -> Self:
        """Return a run without results."""
        return cls(datetime.now(UTC).replace(microsecond=0), Machine.here())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file holds."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Put it all into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def by_panel(points: Sequence[Point]) -> dict[str, dict[str, list[Point]]]:
    """Return points by panel and series, in the order in which they came."""
    found: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        found.setdefault(point.panel, {}).setdefault(point.series, []).append(point)
    return found
