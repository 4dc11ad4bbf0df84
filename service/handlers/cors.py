"""Let web pages of other origins read and ask for predictions, where CORS_ORIGINS names them.

Never to change what is served: that is no matter of who may read an answer, but of guards. So a
page is allowed what is asked with GET, and the paths of predictions; nothing else has these
headers, whatever is added to the service.
"""

from collections.abc import Awaitable
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from service.handlers.request_id import bind_request_id
from service.handlers.route import RouteOf
from service.handlers.security_headers import EVERY_ANSWER
from service.telemetry.metrics.calls import CallCounts

_ORIGIN, _ASKED_METHOD = b"origin", b"access-control-request-method"
_READING = frozenset({"GET", "HEAD"})
_ALLOWED_HEADERS = (
    b"accept, authorization, content-encoding, content-type, if-none-match, "
    b"inference-header-content-length, traceparent, tracestate, x-request-id, x-request-timeout-ms"
)
_SHOWN_HEADERS = (
    b"etag, inference-header-content-length, retry-after, x-model-name, x-model-version, "
    b"x-request-id"
)
_KEPT_S = b"600"
"""Seconds for which a browser need not ask again; browsers have limits of their own."""
_VARIES = (b"vary", b"origin")

RawHeader = tuple[bytes, bytes]


class CrossOrigin:
    """Answers preflights, and puts the headers into each answer of `app` that a page may read.

    `origins` are those of CORS_ORIGINS; `route_of` tells the paths of predictions. Around all that
    answers, so that errors have the headers too. No page is allowed cookies or the browser's own
    credentials.
    """

    def __init__(self, app: ASGIApp, origins: str, route_of: RouteOf, counts: CallCounts) -> None:
        self._counts = counts.http
        self._app = app
        self._route_of = route_of
        known = [origin.strip().lower().encode() for origin in origins.split(",")]
        self._is_any = known == [b"*"]
        self._origins = frozenset(known)

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a preflight, or pass the request on."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers: list[RawHeader] = scope["headers"]
        method = scope["method"]
        origins = [value for name, value in headers if name == _ORIGIN]
        allowed = self._allowed(origins)
        if (
            method == "OPTIONS"
            and allowed is not None
            and any(name == _ASKED_METHOD for name, _ in headers)
        ):
            return self._answer_preflight(allowed, scope, send)
        if method not in _READING and (
            allowed is None or method != "POST" or self._route_of(scope["path"]) is None
        ):
            return self._app(scope, receive, send)
        added: list[RawHeader] = [] if self._is_any else [_VARIES]
        if allowed is not None:
            added += [
                (b"access-control-allow-origin", allowed),
                (b"access-control-expose-headers", _SHOWN_HEADERS),
            ]
        if not added:
            return self._app(scope, receive, send)

        def send_with_headers(message: Any) -> Awaitable[None]:
            if "status" in message:
                message = {**message, "headers": [*message["headers"], *added]}
            return send(message)

        return self._app(scope, receive, send_with_headers)

    def _allowed(self, origins: list[bytes]) -> bytes | None:
        """Return what the answer is to name as allowed; None where the caller is no such page."""
        if len(origins) != 1:
            return None
        if self._is_any:
            return b"*"
        return origins[0] if origins[0] in self._origins else None

    async def _answer_preflight(self, allowed: bytes, scope: Scope, send: Send) -> None:
        route = self._route_of(scope["path"])
        is_asked = route is not None
        headers = [
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", b"GET, HEAD, POST" if is_asked else b"GET, HEAD"),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", _KEPT_S),
            _VARIES,
            *EVERY_ANSWER,
            bind_request_id(scope),
        ]
        self._counts[route or "", 204] += 1
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
