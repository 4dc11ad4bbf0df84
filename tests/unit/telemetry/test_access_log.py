"""A line for each request: of the shape of every other, and one line whatever is in it."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from service.telemetry.access_log import AccessLog
from service.telemetry.line_writer import LineWriter
from service.telemetry.tracing.request_trace import CURRENT, RequestTrace

REQUEST: dict[str, Any] = {
    "method": "POST",
    "path": "/models/{name}/predict",
    "status": 200,
    "duration_s": 0.0012345,
    "request_id": b"a-1",
    "model": b"m",
    "version": b"7",
    "answer_bytes": 123,
}
Noted = Callable[..., bytes]


@pytest.fixture
def noted() -> Iterator[Noted]:
    """Return what notes a request, and returns what was written."""
    reader, descriptor = os.pipe()
    writer = LineWriter(descriptor, lambda count: b"%d\n" % count)
    log = AccessLog(writer, clock=lambda: 1_700_000_000.25)

    def note(**more: Any) -> bytes:
        log.note(**{**REQUEST, **more})
        assert writer.flush(10.0)
        return os.read(reader, 65_536)

    yield note
    os.close(reader)
    os.close(descriptor)


def test_it_has_what_was_asked_and_answered(noted: Noted) -> None:
    """With the time of the answer's end."""
    assert json.loads(noted()) == {
        "event": "request",
        "logger": "access",
        "level": "info",
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "request_id": "a-1",
        "method": "POST",
        "path": "/models/{name}/predict",
        "status": 200,
        "ms": 1.234,
        "model": "m",
        "version": "7",
        "bytes": 123,
    }
    unknown = json.loads(noted(path=None, model=None, version=None, status="UNAVAILABLE"))
    assert (unknown["path"], unknown["model"], unknown["version"]) == (None, None, None)
    assert unknown["status"] == "UNAVAILABLE"


@pytest.mark.parametrize(
    "hostile",
    [
        "a\nb",
        "a\r\n{}",
        '"}\n{"',
        "\x1b[2J",
        "\u2028",
        "\ud800",
        "\x00",
        "\\",
        "%b %s",
        "x" * 100_000,
    ],
)
@pytest.mark.parametrize("field", ["method", "path", "model", "version"])
def test_it_stays_one_line(noted: Noted, field: str, hostile: str) -> None:
    """Whatever a text is: the line is JSON, printable, and short."""
    value: Any = hostile
    if field in {"model", "version"}:
        value = quote(hostile, errors="surrogatepass").encode()
    line = noted(**{field: value})
    assert line.count(b"\n") == 1
    assert len(line) < 1_000
    text = line.decode().rstrip("\n")
    assert text.isprintable()
    assert json.loads(text)["bytes"] == 123


def test_a_credential_in_a_text_is_hidden(noted: Noted) -> None:
    """As in every other line."""
    assert b"geheim" not in noted(path="/x?token=geheim")


def test_people_get_it_by_the_same_logger() -> None:
    """Where lines are not JSON."""
    with structlog.testing.capture_logs() as lines:
        AccessLog(None).note(**REQUEST)
    [line] = lines
    assert line["event"] == "request"
    assert (line["ms"], line["bytes"], line["log_level"]) == (1.234, 123, "info")


def test_the_level_that_is_logged_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of level info, as LOG_LEVEL has it."""
    monkeypatch.setattr(logging.getLogger("access"), "level", logging.WARNING)
    assert not AccessLog(None).is_on


def test_a_request_that_is_traced_names_its_span(noted: Noted) -> None:
    """As every other line of it does."""
    bare = json.loads(noted())
    trace = RequestTrace(7, 0, "")
    token = CURRENT.set(trace)
    try:
        line = json.loads(noted())
    finally:
        CURRENT.reset(token)
    ids = {"trace_id": f"{7:032x}", "span_id": f"{trace.span_id:016x}"}
    assert line == {**bare, **ids}
