"""A service's status as a table for people, and below it what is wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
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
_NUMBERS = ("Workers", "Answered", "Failed", "Looked")
_TIMES = ((1.0, "s"), (60.0, "min"), (3_600.0, "h"), (86_400.0, "d"))
_NONE = "-"


def shown(status: ServiceStatus) -> RenderableType:
    """Return a service's status as it is shown.

    Names are text, whatever they are made of: no markup is read, and what a terminal would obey
    is written as an escape.
    """
    if not status.answers:
        return _text(status.error or "", LISTED_CHARACTERS, _WRONG)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _NAMES:
        table.add_column(name, overflow="fold")
    for name in ("Promoted", "Serves", "Since (UTC)", "State"):
        table.add_column(name, overflow="fold")
    for name in _NUMBERS:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("Pinned", overflow="fold")
    for model in status.models:
        table.add_row(*_row(model))
    if not status.models:
        return Group(_text("no model is served", LISTED_CHARACTERS, _WRONG), *_sentences(status))
    sentences = list(_sentences(status))
    return Group(table, *([Text(), *sentences] if sentences else []))


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
    step = f"{model.candidate.version} is {model.candidate.step}"
    return f"serving; {step}" if model.can_answer else step


def _sentences(status: ServiceStatus) -> Iterator[Text]:
    for trouble in status.troubles:
        yield _text(f"service: {trouble}", LISTED_CHARACTERS)
    for model in status.models:
        name = presentable(model.name, NAME_CHARACTERS)
        for trouble in model.troubles:
            yield _text(f"{name}: {trouble}", LISTED_CHARACTERS)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _age(seconds: float) -> str:
    """Return a duration in its largest whole unit."""
    per_unit, unit = next((one for one in reversed(_TIMES) if seconds >= one[0]), _TIMES[0])
    return f"{seconds // per_unit:.0f} {unit}"


def _text(text: str | None, limit: int = NAME_CHARACTERS, style: str = "") -> Text:
    # A tab is kept by `presentable`, and would move what is right of it.
    return Text(presentable(text or _NONE, limit).replace("\t", "\\t"), style)
