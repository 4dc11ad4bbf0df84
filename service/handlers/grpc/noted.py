"""Have each call over gRPC counted, and noted in the access log, however it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from time import perf_counter
from typing import Any

import grpc

from service.handlers.grpc.context import Context, status_of
from service.telemetry.access_log import AccessLog
from service.telemetry.metrics.calls import CallCounts

_METHOD = "gRPC"
_UNKNOWN: grpc.StatusCode | None = None


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
    kind = "stream" if handler.request_streaming else "unary"
    if handler.response_streaming:
        make = getattr(grpc, f"{kind}_stream_rpc_method_handler")
        answer = _stream(getattr(handler, f"{kind}_stream"), path, notes)
    else:
        make = getattr(grpc, f"{kind}_unary_rpc_method_handler")
        answer = _unary(getattr(handler, f"{kind}_unary"), path, notes)
    return make(answer, handler.request_deserializer, handler.response_serializer)


def _unary(answer: Callable[..., Any], path: str, notes: Notes) -> Callable[..., Any]:
    async def answered(request: Any, context: Context) -> Any:
        began_s, status, message = perf_counter(), _UNKNOWN, b""
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


def _stream(answer: Callable[..., Any], path: str, notes: Notes) -> Callable[..., Any]:
    async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
        began_s, status, size = perf_counter(), _UNKNOWN, 0
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
