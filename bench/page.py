"""The parts of a Markdown page that are written by measuring; all else on it is kept by hand."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.results import Spread

DOCS = Path(__file__).resolve().parents[1] / "docs"
PERFORMANCE = DOCS / "performance.md"


class PageError(Exception):
    """The page has no such part."""


def replace(page: Path, part: str, text: str) -> None:
    """Put text between a part's two markers. Raise PageError where the page has none."""
    content = page.read_text("utf-8")
    between = re.compile(
        rf"(<!-- measured: {re.escape(part)} -->\n).*?(<!-- /{re.escape(part)} -->)", re.DOTALL
    )
    if not between.search(content):
        raise PageError(f"{page.name} has no part {part!r} to write to")
    # A function: text has backslashes of its own.
    written = between.sub(lambda found: f"{found[1]}{text.strip()}\n{found[2]}", content)
    page.write_text(written, "utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are figures."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def short(value: float) -> str:
    """Return a figure with the digits that mean something."""
    size = abs(value)
    if not value:
        return "0"
    if size >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    if size >= 10:  # noqa: PLR2004 - the same
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"  # noqa: PLR2004 - the same


def ranged(values: list[float]) -> str:
    """Return a median with the least and the most; nothing of nothing."""
    spread = Spread.of(values)
    return shown(spread) if spread else ""


def shown(spread: Spread) -> str:
    """Return a spread for readers."""
    if spread.least == spread.most:
        return short(spread.median)
    return f"{short(spread.median)} ({short(spread.least)} to {short(spread.most)})"
