from pathlib import Path

import pytest

from bench.page import PageError, ranged, replace, short, table


def test_only_what_stands_between_its_markers_is_replaced(tmp_path: Path) -> None:
    """The rest of the page, other parts too, stays as it is."""
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- measured: a -->\nold\n<!-- /a -->\n<!-- measured: b -->\n<!-- /b -->\nafter\n"
    )
    replace(page, "a", "new \\1\n")
    assert page.read_text() == (
        "before\n<!-- measured: a -->\nnew \\1\n<!-- /a -->\n"
        "<!-- measured: b -->\n<!-- /b -->\nafter\n"
    )


def test_a_page_without_the_part_is_an_error(tmp_path: Path) -> None:
    """Nothing that was measured is lost in silence."""
    page = tmp_path / "page.md"
    page.write_text("by hand\n")
    with pytest.raises(PageError, match="'a'"):
        replace(page, "a", "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.012"), (0.5, "0.50"), (12.34, "12.3"), (5_600.4, "5,600")],
)
def test_a_figure_has_the_digits_that_mean_something(value: float, text: str) -> None:
    """Three of them, or the whole number."""
    assert short(value) == text


def test_a_range_is_a_median_with_the_least_and_the_most() -> None:
    """A single value is itself, and no value is nothing."""
    assert ranged([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert ranged([2.0]) == "2.00"
    assert ranged([]) == ""


def test_figures_are_on_the_right() -> None:
    """The first column is text."""
    assert table(["", "ms"], [["x", "1"]]) == "|  | ms |\n| --- | ---: |\n| x | 1 |"
