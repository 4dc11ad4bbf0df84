import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rich.console import Console

from service.commands.status.answers import Info, Listed
from service.commands.status.document import ModelStatus, ServiceStatus, status_of_model
from service.commands.status.table import shown
from tests.support.status_documents import info, listed

AT = datetime(2026, 5, 4, tzinfo=UTC)
HOSTILE = "[red]x[/red] \x1b[31m\u202e:smile:\r\n\tend"


def model(listed_: dict[str, Any], info_: dict[str, Any]) -> ModelStatus:
    """Return what is made of a model's two answers."""
    return status_of_model(msgspec.convert(listed_, Listed), msgspec.convert(info_, Info))


def text_of(*models: ModelStatus, width: int = 160, **more: Any) -> str:
    """Return what a pipe gets of a service with these models."""
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    told: dict[str, Any] = {"url": "http://x", "at": AT, "answers": True, **more}
    console.print(shown(ServiceStatus(models=list(models), **told)))
    return file.getvalue()


def cells(line: str) -> list[str]:
    """Return what stands in a row: columns are two spaces apart at least where values end."""
    return line.split()


def test_a_row_a_model() -> None:
    """Names, versions, since when, workers, counts, the age of the last look, the pin."""
    pinned = info("2", "3", pin={"version": "2"})
    head, first, second = text_of(
        model(listed("a"), info()), model(listed("b"), pinned)
    ).splitlines()
    assert cells(head)[:3] == ["Model", "Registered", "model"]
    assert cells(first) == [
        *("a", "a-registered", "@champion", "1", "1", "2026-05-04", "03:02:01Z", "serving"),
        *("2/2", "12", "3", "0", "s", "ago", "-"),
    ]
    assert cells(second)[3:5] == ["3", "2"]
    assert cells(second)[-1] == "2"


def test_a_model_without_a_version_has_a_row_and_a_sentence() -> None:
    """Below the table, after an empty line, under its name."""
    red = listed("b", status="unhealthy", error="nothing is promoted at models:/b@champion")
    lines = text_of(model(red, info(None, None))).splitlines()
    assert cells(lines[1])[3:] == [
        "-",
        "-",
        "-",
        "nothing",
        "promoted",
        *"---",
        "0",
        "s",
        "ago",
        "-",
    ]
    assert lines[2:] == ["", "b: nothing is promoted at models:/b@champion"]


def test_what_is_on_its_way_is_told_with_its_step() -> None:
    """Beside what serves, or alone."""
    proving = [{"version": "2", "state": "proving"}]
    assert "serving; 2 is proving" in text_of(model(listed(), info(versions=proving)))
    red = listed(status="unhealthy", error="version 2 is proving")
    line = text_of(model(red, info(None, versions=proving))).splitlines()[1]
    assert "2 is proving" in line
    assert "serving" not in line


@pytest.mark.parametrize(
    ("age_s", "told"),
    [
        (None, "never"),
        (59.9, "59 s ago"),
        (60.0, "1 min ago"),
        (7_300.0, "2 h ago"),
        (2e5, "2 d ago"),
    ],
)
def test_the_age_of_the_last_good_look(age_s: float | None, told: str) -> None:
    """In its largest whole unit."""
    registry = {"promoted_version": "1", "age_s": age_s, "error": None}
    assert told in text_of(model(listed(), info(registry=registry)))


def test_hostile_names_are_text() -> None:
    """Neither markup nor an emoji's code is read, and nothing gets out that a terminal obeys."""
    hostile = listed(HOSTILE, model_name=HOSTILE, model_stage=HOSTILE, degraded=HOSTILE)
    text = text_of(model(hostile, info()), width=1_000)
    assert text.count(r"[red]x[/red] \x1b[31m\u202e:smile:\r\n\tend") == 5
    assert text.replace("\n", "").isprintable()


def test_a_paragraph_a_model_where_lines_are_too_short_for_a_table() -> None:
    """With all that the table has."""
    pinned = info("2", "3", pin={"version": "2"})
    first, *rest = text_of(model(listed("b"), pinned), width=80).splitlines()
    assert first.rstrip() == "b: serving"
    assert " ".join(" ".join(rest).split()) == (
        "registered model b-registered, pointer @champion, promoted 3, serves 2, "
        "since 2026-05-04 03:02:01Z, workers 2/2, answered 12, failed 3, looked 0 s ago, "
        "pinned 2"
    )


@pytest.mark.parametrize("width", [40, 80, 130, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Whatever names and reasons are; a name stays whole, over several lines."""
    name = "x" * 150
    text = text_of(model(listed(name, degraded="why " * 60), info()), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_a_service_that_is_away_is_a_sentence() -> None:
    """And one without models says so."""
    assert text_of(answers=False, error="no service answers") == "no service answers\n"
    assert text_of(troubles=["it ends"]) == "no model is served\nservice: it ends\n"
