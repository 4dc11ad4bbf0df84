"""A line in the log for each request, whatever protocol it came by (ACCESS_LOG).

It has the shape of every other line. Where those are JSON it is written without structlog, whose
processors would take as long as the request itself, and together with others, a moment later.
"""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from service.core.text import NAME_CHARACTERS, presentable
from service.telemetry.line_writer import LineWriter

_LOGGER = "access"
_EVENT = "request"
_LINE = (
    b'{"event":"' + _EVENT.encode() + b'","logger":"' + _LOGGER.encode() + b'","level":"info",'
    b'"timestamp":"%b.%06dZ","request_id":"%b",%b,"ms":%.3f,"bytes":%d}\n'
)
_KEPT = 4_096


def _fields(
    method: str, path: str | None, status: int | str, model: bytes | None, version: bytes | None
) -> dict[str, Any]:
    """Return what many requests have in common, by name."""
    return {
        "method": method,
        "path": path,
        "status": status,
        "model": None if model is None else unquote(model.decode("latin-1")),
        "version": None if version is None else unquote(version.decode("latin-1")),
    }


@lru_cache(_KEPT)
def _written(
    method: str, path: str | None, status: int | str, model: bytes | None, version: bytes | None
) -> bytes:
    """Return the same as JSON without its braces: on one line, cut and without credentials."""
    fields = _fields(method, path, status, model, version)
    shown = {
        name: presentable(value, NAME_CHARACTERS) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return msgspec.json.encode(shown)[1:-1]


class AccessLog:
    """Writes the line; `writer` is where JSON lines go, None where lines are for people."""

    def __init__(self, writer: LineWriter | None, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._clock = clock
        self._second = -1
        self._date = b""
        self._log = structlog.get_logger(_LOGGER)
        self.is_on = logging.getLogger(_LOGGER).isEnabledFor(logging.INFO)
        """Whether LOG_LEVEL leaves these lines in."""

    def note(
        self,
        method: str,
        path: str | None,
        status: int | str,
        model: bytes | None,
        version: bytes | None,
        request_id: bytes,
        duration_s: float,
        answer_bytes: int,
    ) -> None:
        """Write a request's line.

        `path` is its route's, None where it has none; model and version are as in the answer's
        headers; the id is one of letters, digits, `_`, `.` and `-`.
        """
        if self._writer is None:
            fields = _fields(method, path, status, model, version)
            self._log.info(
                _EVENT,
                request_id=request_id.decode(),
                **fields,
                ms=round(duration_s * 1e3, 3),
                bytes=answer_bytes,
            )
            return
        now_s = self._clock()
        second = int(now_s)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        line = _LINE % (
            self._date,
            (now_s - second) * 1e6,
            request_id,
            _written(method, path, status, model, version),
            duration_s * 1e3,
            answer_bytes,
        )
        self._writer.write_soon(line)
