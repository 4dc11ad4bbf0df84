"""Charts as SVG that can be read on a light page and on a dark one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.figure import Figure

from bench.results import Spread

_INK = "#7d8590"
"""A grey that stands out from black and from white."""
_GRID = "#7d859040"
OURS = "#e8590c"
THEIRS = "#4c8fd6"
LIMIT = "#8b8f97"
COLOURS = (OURS, THEIRS, "#2f9e44", "#ae3ec9", "#e0a800")

_COLUMNS = 2
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bench",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Dot:
    """One contender in one panel."""

    title: str
    spread: Spread
    colour: str


def dots(path: Path, panels: Mapping[str, Sequence[Dot]], heading: str) -> None:
    """Draw a panel for each load: a dot for each contender on a scale of tens, and its spread."""
    tall = [max(1, len(panel)) for panel in panels.values()]
    heights = [max(tall[first : first + _COLUMNS]) for first in range(0, len(tall), _COLUMNS)]
    with _figure(path, (9.6, 0.5 + 0.7 * len(heights) + 0.24 * sum(heights))) as figure:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=12)
        grid = figure.add_gridspec(len(heights), _COLUMNS, height_ratios=heights)
        for number, (title, panel) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[number // _COLUMNS, number % _COLUMNS])
            _panel(axes, title, panel)


def _panel(axes: Any, title: str, panel: Sequence[Dot]) -> None:
    axes.set_title(title, loc="left")
    axes.set_xscale("log")
    for place, dot in enumerate(panel):
        spread, colour = dot.spread, dot.colour
        axes.plot([spread.least, spread.most], [place, place], color=colour, linewidth=2.5)
        axes.plot([spread.median], [place], "o", color=colour, markersize=7)
        axes.annotate(
            f"{spread.median:,.0f}" if spread.median >= 10 else f"{spread.median:.1f}",  # noqa: PLR2004 - two digits
            (spread.most, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
        )
    medians = [dot.spread.median for dot in panel]
    if medians:
        # Whole tens, and room for the figure of the last one.
        low, high = math.floor(math.log10(min(medians))), math.log10(max(medians)) + 0.5
        axes.set_xlim(10**low, 10**high)
    axes.set_yticks(range(len(panel)), [dot.title for dot in panel])
    axes.set_ylim(len(panel) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _plain(axes.xaxis)
    axes.grid()
    axes.set_axisbelow(True)


@dataclass(frozen=True)
class Line:
    """A quantity as the work grows."""

    title: str
    points: Sequence[tuple[float, float]]


def lines(path: Path, panels: Mapping[str, Sequence[Line]], across: str) -> None:
    """Draw panels two by two, both axes on scales of tens; a panel's title names its unit."""
    rows = math.ceil(len(panels) / _COLUMNS)
    with _figure(path, (4.8 * _COLUMNS, 3.7 * rows)) as figure:
        for number, (title, panel) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, _COLUMNS, number + 1)
            axes.set_title(title, loc="left")
            for line, colour in zip(panel, COLOURS, strict=False):
                across_values, up_values = zip(*line.points, strict=True)
                axes.plot(
                    *(across_values, up_values),
                    marker="o",
                    markersize=4,
                    color=colour,
                    label=line.title,
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylim(*_whole_tens([up for line in panel for _, up in line.points]))
            axes.set_xlabel(across)
            _plain(axes.xaxis)
            _plain(axes.yaxis)
            axes.grid()
            axes.set_axisbelow(True)
            if len(panel) > 1:
                # Below, where no line runs through it.
                axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.17), ncols=2)


def _whole_tens(values: Sequence[float]) -> tuple[float, float]:
    """Return limits on a scale of tens, so that there are figures at both ends."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _plain(axis: Any) -> None:
    """Write numbers out, and mark only tens."""
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.15g}"))
    axis.set_minor_locator(ticker.NullLocator())


@contextmanager
def _figure(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        yield figure
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date: a file that did not change is the same.
        figure.savefig(path, format="svg", metadata={"Date": None})
