"""Have each call over gRPC counted, and noted in the access log, however it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any

import grpc

from service.handlers.grpc.context import Context, status_of
from service.handlers.grpc.wrapped import Answer, wrapped
from service.telemetry.access_log import AccessLog
from service.telemetry.metrics.calls import CallCounts

_METHOD = "gRPC"


class Notes:
    """Where the ends of calls are noted: among the counts, and in the access log if it is on."""

    def __init__(self, counts: CallCounts, access: AccessLog | None) -> None:
        self._counts = counts.grpc
        self._access = access

    def note(
        self,
        path: str,
        context: Context,
        status: grpc.StatusCode,
        duration_s: float,
        answer_bytes: int,
    ) -> None:
        """Note a call that has ended."""
        self._counts[path, status.name] += 1
        if self._access is None:
            return
        trailers = dict(context.trailing_metadata() or ())
        self._access.note(
            _METHOD,
            path,
            status.name,
            _raw(trailers.get("x-model-name")),
            _raw(trailers.get("x-model-version")),
            trailers.get("x-request-id", "").encode(),
            duration_s,
            answer_bytes,
        )


def noted(handler: Any, path: str, notes: Notes) -> Any:
    """Return a handler that does as this one does and notes each call; `path` is its method's."""
    around = _stream if handler.response_streaming else _unary
    return wrapped(handler, partial(around, path=path, notes=notes))


def _unary(answer: Answer, *, path: str, notes: Notes) -> Answer:
    async def answered(request: Any, context: Context) -> Any:
        began_s, message = perf_counter(), b""
        status: grpc.StatusCode | None = None
        try:
            message = await answer(request, context)
        except asyncio.CancelledError:
            status = grpc.StatusCode.CANCELLED
            raise
        finally:
            notes.note(
                path, context, status or status_of(context), perf_counter() - began_s, len(message)
            )
        return message

    return answered


def _stream(answer: Answer, *, path: str, notes: Notes) -> Answer:
    async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
        began_s, size = perf_counter(), 0
        status: grpc.StatusCode | None = None
        try:
            async with aclosing(answer(request, context)) as told:
                async for message in told:
                    size += message.ByteSize()
                    yield message
        except (asyncio.CancelledError, GeneratorExit):
            status = grpc.StatusCode.CANCELLED
            raise
        finally:
            notes.note(path, context, status or status_of(context), perf_counter() - began_s, size)

    return answered


def _raw(value: str | None) -> bytes | None:
    return None if value is None else value.encode()
