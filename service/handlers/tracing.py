"""Have each request over HTTP traced that is to be, from its head to the end of its answer."""

from collections.abc import Awaitable
from typing import Any

from litestar.types import ASGIApp, Receive, Send

from service.handlers.route import RouteOf, route_in
from service.telemetry.tracing.request_trace import RequestTrace, RequestTracer

PARENT, STATE = b"traceparent", b"tracestate"
_UNTRACED = frozenset(
    {
        *("/health", "/health/live", "/health/ready", "/metrics", "/ping"),
        *("/v2/health/live", "/v2/health/ready"),
    }
)
"""What asks there comes again and again, and nobody looks for it."""
_FAILED = 500
_OTHER = "HTTP"
"""The name of a request without a route: its caller may have made its method up."""


class TracedRequests:
    """Traces what `app` answers; it is there only where traces are exported."""

    def __init__(self, app: ASGIApp, tracer: RequestTracer, route_of: RouteOf) -> None:
        self._app = app
        self._tracer = tracer
        self._route_of = route_of

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            return self._app(scope, receive, send)
        head = dict(scope["headers"])
        trace = self._tracer.begin(head.get(PARENT, b""), head.get(STATE, b""))
        if trace is None:
            return self._app(scope, receive, send)
        return self._traced(trace, scope, receive, send)

    async def _traced(self, trace: RequestTrace, scope: Any, receive: Receive, send: Send) -> None:
        status = 0

        def send_noted(message: Any) -> Awaitable[None]:
            nonlocal status
            status = message.get("status", status)
            return send(message)

        trace.bind()
        try:
            await self._app(scope, receive, send_noted)
        finally:
            self._describe(trace, scope, status)
            self._tracer.end(trace)

    def _describe(self, trace: RequestTrace, scope: Any, status: int) -> None:
        """Say of it what OpenTelemetry's conventions for HTTP want; a query may be a secret."""
        method, route = scope["method"], route_in(scope, self._route_of)
        trace.name = f"{method} {route}" if route else _OTHER
        trace.attributes = attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
        }
        if route:
            attributes["http.route"] = route
        request_id = scope["state"].get("request_id")
        if request_id:
            attributes["hotswap.request.id"] = request_id.decode()
        if status:
            attributes["http.response.status_code"] = status
        if status >= _FAILED or not status:
            trace.is_failed = bool(status)
            attributes["error.type"] = trace.error or (str(status) if status else "caller-gone")
