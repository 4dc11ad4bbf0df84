"""What was measured, as it is kept in a JSON file, so that the page can be drawn again."""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Self

import msgspec

from bench.machine import Machine


class Cell(msgspec.Struct):
    """What one contender did under one load in one round."""

    contender: str
    load: str
    round: int
    requests: int
    rate: float
    """Requests a second."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failed: int
    cpu_s: float
    """CPU seconds for each 1,000 requests, all processes together."""


class Standing(msgspec.Struct):
    """What is known of a contender besides its cells."""

    started_s: float = 0.0
    idle_share: float = 0.0
    """The share of one core that it uses while nobody asks."""
    paused: bool = False
    """Whether it was stopped between its turns, since it does not rest by itself."""
    peak_pss_bytes: dict[str, int] = msgspec.field(default_factory=dict)
    """The peak of each load."""
    unanswered: dict[str, str] = msgspec.field(default_factory=dict)
    """Loads that it did not answer rightly, and why."""
    predictors: str = ""
    """The engine that it takes for how many rows, where it chooses."""
    broken: str = ""


class Window(msgspec.Struct):
    """Single-row traffic for some seconds, and what went on meanwhile."""

    setup: str
    name: str
    round: int
    requests: int
    failed: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    took_s: float = 0.0
    """How long the promotion took that the window was about."""


class Memory(msgspec.Struct):
    """PSS of a service's parts in bytes."""

    contender: str
    workers: int
    """How many it was told to have."""
    front: int
    each_worker: list[int]
    others: int
    """The memory of fork server, registry processes and resource tracker."""

    @property
    def whole(self) -> int:
        """All processes."""
        return self.front + sum(self.each_worker) + self.others


class Timing(msgspec.Struct):
    """Calls one after another: milliseconds of each."""

    name: str
    rows: int
    round: int
    ms: list[float]


class Run(msgspec.Struct):
    """One run, as it is kept in a JSON file."""

    began: datetime
    machine: Machine

    @classmethod
    def begun(cls) -> Self:
        """Return a run without results."""
        return cls(datetime.now(UTC).replace(microsecond=0), Machine.here())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file holds."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Put it all into a file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        partial.replace(path)


class Results(Run):
    """What was measured in one run, each part in its own field."""

    rounds: int = 0
    seconds: int = 0
    standings: dict[str, Standing] = msgspec.field(default_factory=dict)
    cells: list[Cell] = msgspec.field(default_factory=list)
    promotion: list[Window] = msgspec.field(default_factory=list)
    beside: list[Window] = msgspec.field(default_factory=list)
    limits: list[Window] = msgspec.field(default_factory=list)
    memory: list[Memory] = msgspec.field(default_factory=list)
    model: list[Timing] = msgspec.field(default_factory=list)
    start: list[Timing] = msgspec.field(default_factory=list)
    budget: list[Timing] = msgspec.field(default_factory=list)
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    """Parts that could not be measured, and why."""

    def cells_of(self, contender: str, load: str) -> list[Cell]:
        """Return a contender's cells of a load, by round."""
        found = [cell for cell in self.cells if (cell.contender, cell.load) == (contender, load)]
        return sorted(found, key=lambda cell: cell.round)


class Spread(msgspec.Struct, frozen=True):
    """A median, and the least and the most of what it is the median of."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Self | None:
        """Return the spread of some values; None of none."""
        return cls(median(values), min(values), max(values)) if values else None
