"""docs/metrics.md has a row for each metric, as it is shown."""

import re
from pathlib import Path

from service.telemetry.metrics import compat
from service.telemetry.metrics.families import FAMILIES, Family

TEXT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.MULTILINE)


def test_each_metric_has_a_row_and_each_row_a_metric() -> None:
    """With its type, labels and meaning; those of other servers, too."""
    others = [value for value in vars(compat).values() if isinstance(value, Family)]
    rows = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in ROW.findall(TEXT)
    }
    assert rows == {
        family.name: (str(family.kind), family.labels, family.meaning)
        for family in (*FAMILIES, *others)
    }
    assert len(others) == 19
