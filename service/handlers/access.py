"""Have each request over HTTP noted in the access log, from its head to the end of its answer."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from litestar.types import ASGIApp, Receive, Send

from service.handlers.request_id import HEADER as REQUEST_ID
from service.telemetry.access_log import AccessLog

_MODEL, _VERSION = b"x-model-name", b"x-model-version"


class AccessLogged:
    """Notes what `app` answers; it is there only where ACCESS_LOG is on.

    `route_of` returns the route of a path that the framework's routing did not see, None where it
    has none. A request whose answer does not end has no line.
    """

    def __init__(self, app: ASGIApp, log: AccessLog, route_of: Callable[[str], str | None]) -> None:
        self._app = app
        self._note = log.note
        self._route_of = route_of

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        began_s = perf_counter()
        status = answer_bytes = 0
        head: dict[bytes, bytes] = {}

        # It returns what is to be awaited: a coroutine around another one costs both.
        def send_noted(message: Any) -> Awaitable[None]:
            nonlocal status, answer_bytes, head
            if "status" in message:
                status, head = message["status"], dict(message["headers"])
            elif "body" in message:
                answer_bytes += len(message["body"])
                if not message.get("more_body", False):
                    path: str | None = scope.get("path_template")
                    self._note(
                        scope["method"],
                        self._route_of(scope["path"]) if path is None else path,
                        status,
                        head.get(_MODEL),
                        head.get(_VERSION),
                        head.get(REQUEST_ID, b""),
                        perf_counter() - began_s,
                        answer_bytes,
                    )
            return send(message)

        return self._app(scope, receive, send_noted)
