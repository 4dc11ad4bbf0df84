"""A service's status as a table for people, and below it what is wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.commands.status.document import ModelState, ModelStatus, ServiceStatus
from service.core.text import LISTED_CHARACTERS, NAME_CHARACTERS, presentable

_STYLES = {
    ModelState.SERVING: "green",
    ModelState.DEGRADED: "yellow",
    ModelState.LOADING: "cyan",
}
_WRONG = "red"
_NAMES = ("Model", "Registered model", "Pointer")
_VALUES = ("Promoted", "Serves", "Since", "State")
_NUMBERS = ("Workers", "Answered", "Failed", "Looked")
_COLUMNS = (*_NAMES, *_VALUES, *_NUMBERS, "Pinned")
_STATE = _COLUMNS.index("State")
_TABLE_WIDTH = 130
"""In fewer characters the columns would be too narrow to be read."""
_TIMES = ((1.0, "s"), (60.0, "min"), (3_600.0, "h"), (86_400.0, "d"))
_NONE = "-"


def shown(status: ServiceStatus) -> RenderableType:
    """Return a service's status as it is shown.

    Names are text, whatever they are made of: no markup is read, and what a terminal would obey
    is written as an escape.
    """
    if not status.answers:
        return _text(status.error or "", LISTED_CHARACTERS, _WRONG)
    sentences = list(_sentences(status))
    if not status.models:
        return Group(_text("no model is served", LISTED_CHARACTERS, _WRONG), *sentences)
    rows = [list(_row(model)) for model in status.models]
    return Group(_Rows(rows), *([Text(), *sentences] if sentences else []))


class _Rows:
    """Models as a table; where the lines are too short for that, a paragraph each."""

    def __init__(self, rows: list[list[Text]]) -> None:
        self._rows = rows

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _TABLE_WIDTH:
            yield self._table()
            return
        for row in self._rows:
            yield Text.assemble(row[0], ": ", row[_STATE])
            rest = [
                Text.assemble(f"{column.lower()} ", value)
                for number, (column, value) in enumerate(zip(_COLUMNS, row, strict=True))
                if number not in (0, _STATE)
            ]
            yield Padding(Text(", ").join(rest), (0, 0, 0, 2))

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in _COLUMNS:
            table.add_column(
                column,
                justify="right" if column in _NUMBERS else "left",
                overflow="fold",
                no_wrap=column not in (*_NAMES, "State"),
            )
        for row in self._rows:
            table.add_row(*row)
        return table


def _row(model: ModelStatus) -> Iterator[Text]:
    for name in (model.name, model.model_name, model.pointer):
        yield _text(name, NAME_CHARACTERS)
    yield _text(model.promoted_version)
    yield _text(model.serving_version)
    yield _text(None if model.since is None else _moment(model.since))
    style = _STYLES.get(model.state, _WRONG)
    yield _text(_state(model), NAME_CHARACTERS, style if model.can_answer else _WRONG)
    has_pool = model.workers_alive is not None
    yield _text(f"{model.workers_alive}/{model.workers}" if has_pool else None)
    yield _text(None if model.answered is None else str(model.answered))
    yield _text(None if model.failed is None else str(model.failed))
    yield _text("never" if model.registry_age_s is None else f"{_age(model.registry_age_s)} ago")
    yield _text(model.pinned_version)


def _state(model: ModelStatus) -> str:
    if model.candidate is None:
        return model.state
    detail = f" ({model.candidate.detail})" if model.candidate.detail else ""
    step = f"{model.candidate.version} is {model.candidate.step}{detail}"
    return f"serving; {step}" if model.can_answer else step


def _sentences(status: ServiceStatus) -> Iterator[Text]:
    for trouble in status.troubles:
        yield _text(f"service: {trouble}", LISTED_CHARACTERS)
    for model in status.models:
        name = presentable(model.name, NAME_CHARACTERS)
        for trouble in model.troubles:
            yield _text(f"{name}: {trouble}", LISTED_CHARACTERS)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _age(seconds: float) -> str:
    """Return a duration in its largest whole unit."""
    per_unit, unit = next((one for one in reversed(_TIMES) if seconds >= one[0]), _TIMES[0])
    return f"{seconds // per_unit:.0f} {unit}"


def _text(text: str | None, limit: int = NAME_CHARACTERS, style: str = "") -> Text:
    # A tab is kept by `presentable`, and would move what is right of it.
    return Text(presentable(text or _NONE, limit).replace("\t", "\\t"), style)
