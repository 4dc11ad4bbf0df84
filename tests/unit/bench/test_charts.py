from pathlib import Path

from bench import charts
from bench.charts import Dot, Line
from bench.results import Spread


def test_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    """Measuring nothing anew changes nothing in the repository; text stays text."""
    panel = [Dot("one of them", Spread(100.0, 90.0, 120.0), charts.OURS)]
    for name in ("a.svg", "b.svg"):
        charts.dots(tmp_path / name, {"1 row": panel, "2 rows": []}, "Requests a second")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "one of them</text>" in (tmp_path / "a.svg").read_text("utf-8")


def test_a_line_has_a_point_for_each_size(tmp_path: Path) -> None:
    """Panels side by side, each with its own scale."""
    lines = [Line("ours", [(1, 2.0), (10, 3.0)]), Line("theirs", [(1, 20.0)])]
    charts.lines(tmp_path / "lines.svg", {"ms": lines, "MB": lines[:1]}, "rows")
    drawn = (tmp_path / "lines.svg").read_text("utf-8")
    assert drawn.count("theirs</text>") == 1
    assert "ms</text>" in drawn
    assert "MB</text>" in drawn
