import json
import logging
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def logged(code: str, fmt: str = "json", level: str = "info") -> list[str]:
    """Run some lines after configure_logging in a process of their own; return what was logged."""
    program = (
        "import logging, structlog\n"
        "from service.telemetry.logging import configure_logging\n"
        f"configure_logging({level!r}, {fmt!r})\n"
        "log = structlog.get_logger('service.test')\n"
        f"{code}"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def test_a_line_is_json_with_time_level_logger_and_context() -> None:
    """Values bound to the context are in each line, beside those of the call."""
    code = (
        "structlog.contextvars.bind_contextvars(request_id='r1', version='2')\n"
        "log.info('model loaded', rows=3)\n"
    )
    [line] = logged(code)
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


def test_the_standard_librarys_loggers_have_the_same_shape() -> None:
    """Uvicorn's lines keep their arguments, lose their colours, and pass the context on."""
    code = (
        "structlog.contextvars.bind_contextvars(version='2')\n"
        "logging.getLogger('uvicorn.error').info('on %s', 'x', extra={'color_message': 'y'})\n"
        "logging.getLogger('uvicorn.access').error('GET /')\n"
    )
    [line] = logged(code)
    fields = json.loads(line)
    assert fields["event"] == "on x"
    assert fields["logger"] == "uvicorn.error"
    assert fields["version"] == "2"
    assert "color_message" not in fields


def test_lines_below_the_level_are_dropped() -> None:
    """Both kinds of loggers follow LOG_LEVEL."""
    code = "log.info('a')\nlogging.getLogger('uvicorn').info('b')\nlog.warning('c')\n"
    assert [json.loads(line)["event"] for line in logged(code, level="warning")] == ["c"]


def test_an_exception_is_one_line_with_its_traceback_as_text() -> None:
    """Collectors read lines: a traceback stays within one."""
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')\n"
    [line] = logged(code)
    fields = json.loads(line)
    assert fields["exception"].startswith("Traceback (most recent call last)")
    assert fields["exception"].endswith("ZeroDivisionError: division by zero")


def test_credentials_are_in_no_line() -> None:
    """Wherever a URI with a password stands: event, value, nested value or traceback."""
    uri = "http://user:geheim@registry:5000"
    code = (
        f"uri = {uri!r}\n"
        "log.info(uri, plain=uri, deep={'list': [uri]}, odd=Exception(uri))\n"
        "try:\n    raise ValueError(uri)\nexcept ValueError:\n    log.exception('failed')\n"
    )
    for fmt in ("json", "console"):
        text = "\n".join(logged(code, fmt))
        assert "registry:5000" in text
        assert "geheim" not in text


def test_people_get_text_without_colours_where_there_is_no_terminal() -> None:
    """`console` into a file has no escape codes."""
    [line] = logged("log.info('model loaded', version='2')\n", "console")
    assert "model loaded" in line
    assert "version" in line
    assert "\x1b" not in line


def test_configuring_twice_logs_once() -> None:
    """The second call replaces the first."""
    code = "configure_logging('info', 'json')\nlog.info('once')\n"
    assert len(logged(code)) == 1


def test_importing_it_changes_no_logger() -> None:
    """Only the call configures; tests and other applications may import."""
    before = logging.getLogger().handlers[:]
    import service.telemetry.logging  # noqa: F401, PLC0415 - the import is what is tested

    assert logging.getLogger().handlers == before
