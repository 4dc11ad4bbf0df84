"""What is asked for: how many rows in a body, by how many clients."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import dialects
from bench.contenders import Contender
from bench.dialects import Dialect
from bench.rows import Table, frame_of
from bench.wrk import Target

_MANY_ROWS = 10_000
_BODIES = {1: 64, 100: 8, 1_000: 2}
"""So many different bodies are sent in turn."""


@dataclass(frozen=True)
class Load:
    """Rows in a body, and clients that send one after another."""

    rows: int
    clients: int
    arrow: bool = False

    @property
    def key(self) -> str:
        """Its name in results."""
        return f"{'arrow-' if self.arrow else ''}{self.rows}x{self.clients}"

    @property
    def title(self) -> str:
        """Its name for readers."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        clients = "1 client" if self.clients == 1 else f"{self.clients} clients"
        return f"{rows}{', Arrow' if self.arrow else ''}, {clients}"

    def seconds(self, usual: int) -> int:
        """Return how long to measure: half as long again where an answer takes long."""
        return usual + (usual + 1) // 2 if self.rows >= _MANY_ROWS else usual

    def dialect_of(self, contender: Contender) -> Dialect:
        """Return how a contender is asked this."""
        return dialects.ARROW_STREAM if self.arrow else contender.dialect


SINGLE = (Load(1, 1), Load(1, 16), Load(1, 64))
BULK = (Load(100, 8), Load(1_000, 4), Load(10_000, 2))
ARROW = (Load(10_000, 1, arrow=True), Load(10_000, 2, arrow=True))
ALL = (*SINGLE, *BULK, *ARROW)


class Bodies:
    """The bodies of every load in every dialect, as files, and what must be answered to them."""

    def __init__(self, folder: Path, model: Any) -> None:
        self._folder = folder
        self._model = model
        self._expected: dict[int, list[Table]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def expected(self, rows: int) -> list[Table]:
        """Return what mlflow.pyfunc answers to each body of so many rows."""
        if rows not in self._expected:
            answers = [self._model.predict(frame) for frame in _frames(rows)]
            self._expected[rows] = [np.asarray(answer, dtype=np.float64) for answer in answers]
        return self._expected[rows]

    def of(self, dialect: Dialect, rows: int) -> tuple[Path, ...]:
        """Return the files of bodies of so many rows."""
        stem = dialect.encode.__name__.strip("_")
        paths = []
        for number, frame in enumerate(_frames(rows)):
            path = self._folder / f"{stem}-{rows}-{number}"
            if not path.exists():
                path.write_bytes(dialect.encode(frame))
            paths.append(path)
        return tuple(paths)

    def target(self, url: str, dialect: Dialect, rows: int) -> Target:
        """Return what wrk needs to know."""
        kind, files = dialect.content_type, self.of(dialect, rows)
        return Target(url, kind, kind, files, dialect.headers)


def _frames(rows: int) -> list[Any]:
    count = _BODIES.get(rows, 1)
    whole = frame_of(rows * count)
    return [
        whole.iloc[first : first + rows].reset_index(drop=True)
        for first in range(0, rows * count, rows)
    ]
