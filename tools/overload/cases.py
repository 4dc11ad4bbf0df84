"""What is overloaded: models of a known capacity, and the demo's, whose server is the limit."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.overload.protocols import JSON, CallProtocol

LIMIT_S = 5.0
FACTORS = (1.2, 3.0, 10.0)
DEMO_FACTORS = (1.2, 2.0)
DEMO_LIMITS_S = (LIMIT_S, 0.25)
"""Within the second, the generator's connections can't wait for answers that are still in time."""
_MERGED_ROWS = 16


@dataclass(frozen=True)
class Case:
    """A model, the requests that it gets, and how many of them it can answer in a second."""

    key: str
    title: str
    model: dict[str, float | bool]
    """The slow model's config."""
    rows: int
    """The rows of each request."""
    capacity: float
    """Requests a second."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What its model is served with."""
    protocol: CallProtocol = JSON
    limit_s: float = LIMIT_S
    """REQUEST_TIMEOUT_S."""

    @property
    def call_s(self) -> float:
        """What the model takes for one request, 0 where that is not known."""
        return self.model.get("call_s", 0.0) + self.model.get("row_s", 0.0) * self.rows

    def by(self, protocol: CallProtocol) -> "Case":
        """Return the same model and rows, asked by another protocol."""
        capacity = self.capacity if protocol.is_merged else 1 / self.call_s
        return replace(self, protocol=protocol, capacity=capacity)

    def body(self, model: str, rows: int) -> bytes:
        """Return a request for so many rows, to the model that is served under this name."""
        return self.protocol.encode(model, [float(number) for number in range(1, rows + 1)])


def _slow(*, call_s: float = 0.0, row_s: float = 0.0, row_wise: bool) -> dict[str, float | bool]:
    return {"call_s": call_s, "row_s": row_s, "row_wise": row_wise}


ALONE = Case(
    "alone",
    "0.1 s a call, not row-wise, 1 row",
    _slow(call_s=0.1, row_wise=False),
    1,
    10.0,
)
MERGED = Case(
    "merged",
    f"0.1 s a call, row-wise, 1 row, MAX_BATCH_ROWS={_MERGED_ROWS}",
    _slow(call_s=0.1, row_wise=True),
    1,
    10.0 * _MERGED_ROWS,
    {"max_batch_rows": _MERGED_ROWS},
)
ROWS = Case("rows", "5 ms a row, 100 rows", _slow(row_s=0.005, row_wise=True), 100, 2.0)
QUICK = Case(
    "quick",
    "0.5 ms a row, 100 rows, REQUEST_TIMEOUT_S=1",
    _slow(row_s=0.0005, row_wise=True),
    100,
    20.0,
    limit_s=1.0,
)
"""A load of a few seconds is long for it: it has dozens of answers, and several of its limits."""

SLOW = (ALONE, MERGED, ROWS)
MODEL_FILE = Path(__file__).with_name("slow_model.py")
