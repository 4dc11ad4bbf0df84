"""Have each call over gRPC traced that is to be, however it ends."""

import asyncio
from functools import partial
from typing import Any

import grpc

from service.handlers.grpc.context import Context, status_of
from service.handlers.grpc.wrapped import Answer, wrapped
from service.telemetry.tracing.request_trace import RequestTrace, RequestTracer

_FAULTS = frozenset(
    {
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNKNOWN,
    }
)
"""Statuses that OpenTelemetry's conventions count as the server's fault."""


def traced(handler: Any, method: str, tracer: RequestTracer) -> Any:
    """Return a handler that does as this one does and traces each call of this method.

    For those that answer by one message.
    """
    return wrapped(handler, partial(_traced, method=method, tracer=tracer))


def _traced(answer: Answer, *, method: str, tracer: RequestTracer) -> Answer:
    async def answered(request: Any, context: Context) -> Any:
        head = dict(context.invocation_metadata() or ())
        trace = tracer.begin(_raw(head.get("traceparent")), _raw(head.get("tracestate")))
        if trace is None:
            return await answer(request, context)
        trace.bind()
        status: grpc.StatusCode | None = None
        try:
            return await answer(request, context)
        except asyncio.CancelledError:
            status = grpc.StatusCode.CANCELLED
            raise
        finally:
            _describe(trace, context, method, status or status_of(context))
            tracer.end(trace)

    return answered


def _describe(trace: RequestTrace, context: Context, method: str, status: grpc.StatusCode) -> None:
    """Say of it what OpenTelemetry's conventions for RPC want."""
    trace.name = method
    trace.attributes = attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.response.status_code": status.name,
    }
    trailers = dict(context.trailing_metadata() or ())
    if request_id := trailers.get("x-request-id"):
        attributes["hotswap.request.id"] = request_id
    if status in _FAULTS:
        trace.is_failed = True
        attributes["error.type"] = trace.error or attributes["rpc.response.status_code"]


def _raw(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
