import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from service.telemetry.logging import configure_logging


class Log:
    """What is logged after logging was configured."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def configure(self, fmt: Literal["json", "console"] = "json", level: str = "info") -> Any:
        """Configure logging, and return a logger."""
        configure_logging(level, fmt)
        return structlog.get_logger("service.test")

    def read(self) -> list[str]:
        """Return the lines so far."""
        return self._capsys.readouterr().err.splitlines()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the process its own logging back after each test."""
    names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "filelock", "httptools")
    loggers = [logging.getLogger(name) for name in names]
    before = [(each.handlers[:], each.level, each.disabled) for each in loggers]
    yield
    for each, (handlers, level, disabled) in zip(loggers, before, strict=True):
        each.handlers[:] = handlers
        each.setLevel(level)
        each.disabled = disabled
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    """Return a way to configure logging, and to read what came of it."""
    return Log(capsys)


def test_a_line_is_json_with_time_level_logger_and_context(log: Log) -> None:
    """Values bound to the context are in each line, beside those of the call."""
    logger = log.configure()
    structlog.contextvars.bind_contextvars(request_id="r1", version="2")
    logger.info("model loaded", rows=3)
    [line] = log.read()
    fields = json.loads(line)
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "event": "model loaded",
        "level": "info",
        "logger": "service.test",
        "request_id": "r1",
        "version": "2",
        "rows": 3,
    }


def test_the_standard_librarys_loggers_have_the_same_shape(log: Log) -> None:
    """Uvicorn's lines keep their arguments, lose their colours, and pass the context on."""
    log.configure()
    structlog.contextvars.bind_contextvars(version="2")
    logging.getLogger("uvicorn.error").info("on %s", "x", extra={"color_message": "y"})
    logging.getLogger("uvicorn.access").error("GET /")
    [line] = log.read()
    fields = json.loads(line)
    assert fields["event"] == "on x"
    assert fields["logger"] == "uvicorn.error"
    assert fields["version"] == "2"
    assert "color_message" not in fields


def test_lines_below_the_level_are_dropped(log: Log) -> None:
    """Both kinds of loggers follow LOG_LEVEL."""
    logger = log.configure(level="warning")
    logger.info("a")
    logging.getLogger("uvicorn").info("b")
    logger.warning("c")
    assert [json.loads(line)["event"] for line in log.read()] == ["c"]


def test_an_exception_is_one_line_with_its_traceback_as_text(log: Log) -> None:
    """Collectors read lines: a traceback stays within one."""
    logger = log.configure()
    try:
        1 / 0  # noqa: B018 - to have one
    except ZeroDivisionError:
        logger.exception("failed")
    [line] = log.read()
    fields = json.loads(line)
    assert fields["exception"].startswith("Traceback (most recent call last)")
    assert fields["exception"].endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_credentials_are_in_no_line(log: Log, fmt: Literal["json", "console"]) -> None:
    """Wherever a URI with a password stands: event, value, nested value or traceback."""
    uri = "http://user:geheim@registry:5000"
    logger = log.configure(fmt)
    logger.info(uri, plain=uri, deep={"list": [uri]}, odd=Exception(uri))
    logging.getLogger("urllib3").warning("retrying %s", uri)
    logger.error("failed", exc_info=ValueError(uri))
    text = "\n".join(log.read())
    assert text.count("registry:5000") >= 5
    assert "geheim" not in text


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_no_line_moves_a_cursor_or_becomes_two(log: Log, fmt: Literal["json", "console"]) -> None:
    """What a model prints, in whatever place of a line; a traceback's lines stay lines."""
    logger = log.configure(fmt)
    evil = "a\x1b[2J\x9b1A\rforged\u202e\nb"
    logger.info(evil, value=evil, deep={evil: [evil]}, **{evil: 1})
    logging.getLogger("urllib3").warning("%s", evil)
    logger.error("failed", exc_info=ValueError(evil))
    text = "\n".join(log.read())
    assert "forged" in text
    assert not set(text) & set("\x1b\x9b\r\u202e")
    if fmt == "json":
        assert all(json.loads(line) for line in text.splitlines())


def test_no_line_is_longer_than_what_a_person_reads(log: Log) -> None:
    """Texts, lists, nesting, numbers and tracebacks are cut, and say so."""
    logger = log.configure()
    nested: Any = "deep"
    for _ in range(100):
        nested = [nested]
    logger.info("x" * 1_000_000, value="y" * 1_000_000, many=["z"] * 100_000, nested=nested)
    logger.info("number", value=10**5000)
    logger.error("failed", exc_info=ValueError("x" * 1_000_000))
    lines = log.read()
    assert len(lines) == 3
    assert max(map(len, lines)) < 30_000
    assert "more characters" in lines[0]
    assert "99900 more" in lines[0]
    assert "bits" in lines[1]
    assert "characters are left out" in lines[2]


def test_people_get_text_without_colours_where_there_is_no_terminal(log: Log) -> None:
    """`console` into a file has no escape codes."""
    log.configure("console").info("model loaded", version="2")
    [line] = log.read()
    assert "model loaded" in line
    assert "version=2" in line
    assert "\x1b" not in line


def test_configuring_twice_logs_once(log: Log) -> None:
    """The second call replaces the first."""
    log.configure()
    log.configure().info("once")
    assert len(log.read()) == 1
