"""A line in the log for each request, whatever protocol it came by (ACCESS_LOG).

It has the shape of every other line. Where those are JSON it is written without structlog, whose
processors would take as long as the request itself: a request is noted in a list, and the writer's
thread makes its line, together with others, a moment later.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from service.core.text import NAME_CHARACTERS, presentable
from service.telemetry.line_writer import LineWriter
from service.telemetry.tracing.request_trace import CURRENT, RequestTrace

_LOGGER = "access"
_EVENT = "request"
_LINE = (
    b'{"event":"' + _EVENT.encode() + b'","logger":"' + _LOGGER.encode() + b'","level":"info",'
    b'"timestamp":"%b.%06dZ","request_id":"%b",%b,"ms":%d.%03d,"bytes":%d%b}\n'
)
_SPAN = b',"trace_id":"%032x","span_id":"%016x"'
_KEPT = 4_096
_MOST_NOTED = 16_384
"""The more requests are noted while the log's reader stands still; those beyond it are lost."""
_Common = tuple[str, str | None, int | str, bytes | None, bytes | None]
_Noted = tuple[float, _Common, bytes, float, int, RequestTrace | None]


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
        self._noted: deque[_Noted] = deque()
        self._is_told = False
        """Whether the writer knows that there is something to write."""
        if writer is not None:
            writer.add_source(self._lines)
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
        headers; the id is one of letters, digits, `_`, `.` and `-`. A request that is traced has
        its span's ids, too.
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
        noted = self._noted
        if len(noted) >= _MOST_NOTED:
            self._writer.note_lost()
            return
        noted.append(
            (
                self._clock(),
                (method, path, status, model, version),
                request_id,
                duration_s,
                answer_bytes,
                CURRENT.get(),
            )
        )
        if not self._is_told:
            self._is_told = True
            self._writer.wake()

    def _lines(self) -> bytes:
        """Take the lines of what was noted; in the writer's thread."""
        # First: what is noted from now on wakes the writer again.
        self._is_told = False
        take, second, date = self._noted.popleft, self._second, self._date
        lines, written, last = [], b"", None
        for _ in range(len(self._noted)):
            now_s, common, request_id, duration_s, answer_bytes, trace = take()
            if int(now_s) != second:
                second = int(now_s)
                date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            # A fraction is written faster by two whole numbers.
            ms, us = divmod(int(duration_s * 1e6), 1000)
            fraction_us = (now_s - second) * 1e6
            if common != last:
                written, last = _written(*common), common
            span = b"" if trace is None else _SPAN % (trace.trace_id, trace.span_id)
            lines.append(
                _LINE % (date, fraction_us, request_id, written, ms, us, answer_bytes, span)
            )
        self._second, self._date = second, date
        return b"".join(lines)
