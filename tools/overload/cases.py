"""What is overloaded: models of a known capacity, and the demo's, whose server is the limit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from service.handlers.media import Media

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
    arrow: bool = False
    limit_s: float = LIMIT_S
    """REQUEST_TIMEOUT_S."""

    @property
    def call_s(self) -> float:
        """What the model takes for one request, 0 where that is not known."""
        return self.model.get("call_s", 0.0) + self.model.get("row_s", 0.0) * self.rows

    @property
    def content_type(self) -> str:
        """What the requests say that they bring."""
        return str(Media.ARROW if self.arrow else Media.JSON)

    def body(self, rows: int) -> bytes:
        """Return a request for so many rows."""
        values = [float(number) for number in range(1, rows + 1)]
        if not self.arrow:
            return msgspec.json.encode({"instances": [{"a": value} for value in values]})
        table = pa.table({"a": values})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())


def _slow(*, call_s: float = 0.0, row_s: float = 0.0, row_wise: bool) -> dict[str, float | bool]:
    return {"call_s": call_s, "row_s": row_s, "row_wise": row_wise}


SLOW = (
    Case(
        "alone",
        "0.1 s a call, not row-wise, 1 row",
        _slow(call_s=0.1, row_wise=False),
        1,
        10.0,
    ),
    Case(
        "merged",
        f"0.1 s a call, row-wise, 1 row, MAX_BATCH_ROWS={_MERGED_ROWS}",
        _slow(call_s=0.1, row_wise=True),
        1,
        10.0 * _MERGED_ROWS,
        {"max_batch_rows": _MERGED_ROWS},
    ),
    Case("rows", "5 ms a row, 100 rows", _slow(row_s=0.005, row_wise=True), 100, 2.0),
    Case(
        "arrow",
        "5 ms a row, 100 rows, Arrow",
        _slow(row_s=0.005, row_wise=True),
        100,
        2.0,
        arrow=True,
    ),
)
MODEL_FILE = Path(__file__).with_name("slow_model.py")
