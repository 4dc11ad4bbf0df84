"""Every line that this process logs: one shape, on stderr, without credentials."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.redaction import redact

_QUIETER = {"asyncio": logging.WARNING, "filelock": logging.WARNING, "httptools": logging.WARNING}
"""Libraries whose debug lines say nothing about models."""


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # After the traceback became text: it may hold a URI with a password too.
                structlog.processors.format_exc_info,
                _redact,
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


def _renderer(*, for_people: bool) -> Processor:
    if for_people:
        # Tracebacks are text by then, so that no source is read to colour them.
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _drop_color_message(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Drop uvicorn's second copy of its message, coloured for a terminal."""
    event_dict.pop("color_message", None)
    return event_dict


def _redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Take credentials out of every text of a line, however deep it lies."""
    return {key: _clean(value) for key, value in event_dict.items()}


def _clean(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case dict():
            return {key: _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            # What JSON has no word for is shown as Python does, so that no line is ever lost.
            return redact(repr(value))
