"""Makes HTML of how models stand: whole pages, and the parts of them that change.

Whatever a registry, a model or a caller wrote is text here: jinja2 escapes all of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.page.form import FormView
from service.page.models import ModelView, Summary

T = TypeVar("T")

_TEMPLATES = Path(__file__).parent / "templates"
MODEL_PARTS = ("serving", "promotion", "story", "engines")
"""The parts of a model's page that change while it is open, each a template in `parts/`."""
_MINUTE_S, _HOUR_S = 60, 3600


class Surroundings(msgspec.Struct, frozen=True):
    """What every page has around its own: where its files are, and what its calls want."""

    files: str
    """The folder that its scripts and styles are loaded from."""
    home: str
    """Where the page of all models is."""
    wants_keys: bool
    """Whether calls want a key."""
    who: str
    """By which key somebody has signed in here, '' where nobody has."""
    may_sign_in: bool
    """Whether a key may be entered."""
    signs_in: bool
    """Whether the page is the one that says that a key is wanted."""
    may_read: bool
    """Whether what serves is shown, and how it came to."""
    may_predict: bool
    may_change: bool
    """Whether the calls of operators are shown; each of them asks again."""


class Renderer:
    """Renders in a thread, one page after another: the event loop has no time for it."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "seconds": shown_seconds,
            "ms": shown_ms,
            "iso": shown_iso,
            "count": shown_count,
        }
        self._turn = CapacityLimiter(1)
        self._parts: dict[str, tuple[ModelView, dict[str, str]]] = {}
        self._rows: dict[str, tuple[Summary, str]] = {}

    async def load(self) -> None:
        """Read all templates, so that no page has to."""

        def load() -> None:
            for name in self._environment.list_templates():
                self._environment.get_template(name)

        await self._in_thread(load)

    async def models(self, around: Surroundings, models: Sequence[Summary]) -> str:
        """Return the page of all models."""
        return await self._in_thread(
            partial(self._render, "models.html", around=around, models=models)
        )

    async def model(
        self,
        around: Surroundings,
        view: ModelView,
        form: FormView | None,
        seen_at: datetime | None,
    ) -> str:
        """Return the page of a model, whose registry was seen then."""
        return await self._in_thread(
            partial(
                self._render, "model.html", around=around, view=view, form=form, seen_at=seen_at
            )
        )

    def fault(self, around: Surroundings, status: int, title: str, detail: str) -> str:
        """Return the page that says why there is no other: a few lines, so not in a thread."""
        return self._render("fault.html", around=around, status=status, title=title, detail=detail)

    async def parts(self, view: ModelView, seen_at: datetime | None) -> dict[str, str]:
        """Return the parts of a model's page that change, by their names.

        When the registry was seen is no reason to make them anew.
        """
        known = self._parts.get(view.summary.key)
        if known is not None and known[0] == view:
            return known[1]
        parts = await self._in_thread(
            lambda: {
                name: self._render(f"parts/{name}.html", view=view, seen_at=seen_at)
                for name in MODEL_PARTS
            }
        )
        self._parts[view.summary.key] = view, parts
        return parts

    async def row(self, summary: Summary) -> str:
        """Return a model's row in the list of all."""
        known = self._rows.get(summary.key)
        if known is not None and known[0] == summary:
            return known[1]
        row = await self._in_thread(partial(self._render, "parts/row.html", model=summary))
        self._rows[summary.key] = summary, row
        return row

    def forget(self, keys: set[str]) -> None:
        """Keep what was rendered of these models alone."""
        for kept in (self._parts, self._rows):
            for gone in kept.keys() - keys:
                del kept[gone]

    def _render(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._turn)


def shown_seconds(seconds: float) -> str:
    """Return a duration as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min {seconds % _MINUTE_S:.0f} s"
    return f"{seconds // _HOUR_S:.0f} h {seconds % _HOUR_S // _MINUTE_S:.0f} min"


def shown_ms(ms: float) -> str:
    """Return milliseconds in three digits or so."""
    if ms >= 100:  # noqa: PLR2004 - three digits
        return f"{ms:,.0f}"
    return f"{ms:.1f}" if ms >= 10 else f"{ms:.2g}" if ms < 1 else f"{ms:.2f}"  # noqa: PLR2004


def shown_count(count: int) -> str:
    """Return a number with its thousands apart."""
    return f"{count:,}"


def shown_iso(moment: datetime) -> str:
    """Return a moment as browsers read it."""
    return moment.isoformat(timespec="milliseconds")
