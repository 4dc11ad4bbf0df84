"""Every line that this process logs: one shape, on stderr, without credentials.

Nothing waits for stderr's reader: see `LineWriter`.

Its texts may be those of callers, models and registries: each is cut, and nothing of it is obeyed
by the terminal that shows it.
"""

import logging
import select
import sys
import time
from itertools import islice
from typing import Any, Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.text import (
    NAME_CHARACTERS,
    bounded,
    presentable,
    presentable_lines,
    printable,
)
from service.telemetry.line_writer import LineWriter

_QUIETER = {"asyncio": logging.WARNING, "filelock": logging.WARNING, "httptools": logging.WARNING}
"""Libraries whose debug lines are left out: they say nothing about models."""
_OF_LINES = frozenset({"exception", "stack"})
"""Fields whose text is a traceback."""
_MOST_ITEMS = 100
_MOST_LEVELS = 6
_MOST_BITS = 64
_EXIT_S = 1.0
"""For so long, at its end, a process waits for whatever reads its last lines."""


class LineHandler(logging.Handler):
    """Writes each record as one line of a LineWriter's."""

    def __init__(self, writer: LineWriter, *, is_json: bool) -> None:
        super().__init__()
        self.writer = writer
        self.is_json = is_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        try:
            line = self.format(record) + "\n"
            self.writer.write(line.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - as in every handler of the standard library
            self.handleError(record)

    def flush(self) -> None:
        """Wait for what is still to be written, as `logging.shutdown` wants it at the exit."""
        self.writer.flush(_EXIT_S)


def configure_logging(level: str, fmt: Literal["auto", "json", "console"]) -> None:
    """Send structlog and the standard library's loggers through the same processors to stderr.

    `auto` is for people where stderr is a terminal, else JSON lines. Calling it again replaces
    what it did before.
    """
    for_people = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _drop_color_message,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = _handler(for_people=for_people)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # After the traceback became text: it may hold a URI with a password too.
                structlog.processors.format_exc_info,
                make_presentable,
                _renderer(for_people=for_people),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    # It costs half the throughput, and says less than our own lines.
    logging.getLogger("uvicorn.access").disabled = True
    for name, least in _QUIETER.items():
        logging.getLogger(name).setLevel(max(least, number))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def json_writer() -> LineWriter | None:
    """Return what writes this process's lines where they are JSON, else None."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler) and handler.is_json:
            return handler.writer
    return None


def lost_lines() -> int:
    """Return how many lines of this process are lost so far."""
    return sum(
        handler.writer.lost_lines
        for handler in logging.getLogger().handlers
        if isinstance(handler, LineHandler)
    )


def _handler(*, for_people: bool) -> logging.Handler:
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        # It was closed before the start, or what stands in for it has nothing that could be full.
        return logging.StreamHandler(sys.stderr)
    if not hasattr(select, "poll"):
        return logging.StreamHandler(sys.stderr)

    def lost_line(count: int) -> bytes:
        told = f"{count} lines are lost: whatever reads the log did not"
        if for_people:
            return f"{told}\n".encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        fields = {"event": told, "level": "warning", "logger": __name__, "timestamp": stamp}
        return msgspec.json.encode(fields) + b"\n"

    return LineHandler(LineWriter(descriptor, lost_line), is_json=not for_people)


def _renderer(*, for_people: bool) -> Processor:
    if for_people:
        # Tracebacks are text by then, so that no source is read to colour them.
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _drop_color_message(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Drop uvicorn's second copy of its message, coloured for a terminal."""
    event_dict.pop("color_message", None)
    return event_dict


def make_presentable(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Cut every text of a line, however deep it lies, and take out credentials and escapes."""
    return {
        _key(key): presentable_lines(value)
        if key in _OF_LINES and isinstance(value, str)
        else _clean(value)
        for key, value in event_dict.items()
    }


def _clean(value: object, level: int = 1) -> object:
    match value:
        case str():
            return presentable(value)
        case dict() | list() | tuple():
            return _clean_items(value, level + 1) if level < _MOST_LEVELS else "..."
        case int() if value.bit_length() > _MOST_BITS:
            # Python writes no integer of more than 4,300 digits.
            return f"an integer of {value.bit_length()} bits"
        case None | bool() | int() | float():
            return value
        case _:
            # What JSON has no word for is shown as Python does, so that no line is ever lost.
            return presentable(repr(value))


def _clean_items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], level: int) -> object:
    more = len(value) - _MOST_ITEMS
    if isinstance(value, dict):
        items = islice(value.items(), _MOST_ITEMS)
        cleaned = {_key(key): _clean(item, level) for key, item in items}
        return {**cleaned, "...": f"{more} more"} if more > 0 else cleaned
    shown = [_clean(item, level) for item in value[:_MOST_ITEMS]]
    return [*shown, f"{more} more"] if more > 0 else shown


def _key(key: object) -> str:
    return printable(bounded(str(key), NAME_CHARACTERS))
