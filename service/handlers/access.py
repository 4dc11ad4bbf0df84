"""Have each request over HTTP noted in the access log, from its head to the end of its answer."""

from collections.abc import Awaitable
from functools import lru_cache
from time import perf_counter
from typing import Any

from litestar.types import ASGIApp, Receive, Send

from service.handlers.caller import connected
from service.handlers.request_id import HEADER as REQUEST_ID
from service.handlers.route import RouteOf, route_in
from service.telemetry.access_log import AccessLog

_MODEL, _VERSION = b"x-model-name", b"x-model-version"
_KEPT_HEADS = 64

RawHeaders = tuple[tuple[bytes, bytes], ...]


class AccessLogged:
    """Notes what `app` answers; it is there only where ACCESS_LOG is on.

    A request whose answer does not end has no line.
    """

    def __init__(self, app: ASGIApp, log: AccessLog, route_of: RouteOf) -> None:
        self._app = app
        self._log = log
        self._route_of = route_of

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        answer = _NotedAnswer(self._log, self._route_of, scope, send)
        return self._app(scope, receive, answer.send)


class _NotedAnswer:
    """Sends a request's answer, whole or by messages, and notes it at its end."""

    __slots__ = (
        *("_log", "_route_of", "_scope", "_send", "_own", "_began_s"),
        *("_status", "_head", "_bytes"),
    )

    def __init__(self, log: AccessLog, route_of: RouteOf, scope: Any, send: Send) -> None:
        self._log = log
        self._route_of = route_of
        self._scope = scope
        self._send = send
        self._own = connected(send)
        self._began_s = perf_counter()
        self._status = self._bytes = 0
        self._head: dict[bytes, bytes] = {}

    def take_body(self) -> bytes | None:
        """Return the whole body where it is there; see `Connected`."""
        return None if self._own is None else self._own.take_body()

    def try_answer(
        self, status: int, headers: RawHeaders, named: tuple[bytes, bytes], body: bytes
    ) -> bool:
        """Answer whole where that can be; see `Connected`."""
        if self._own is None or not self._own.try_answer(status, headers, named, body):
            return False
        self._note(status, *_version_in(headers), named[1], len(body))
        return True

    # It returns what is to be awaited: a coroutine around another one costs both.
    def send(self, message: Any) -> Awaitable[None]:
        """Send a message."""
        if "status" in message:
            self._status, self._head = message["status"], dict(message["headers"])
        elif "body" in message:
            self._bytes += len(message["body"])
            if not message.get("more_body", False):
                get = self._head.get
                request_id = get(REQUEST_ID, b"")
                self._note(self._status, get(_MODEL), get(_VERSION), request_id, self._bytes)
        return self._send(message)

    def _note(
        self,
        status: int,
        model: bytes | None,
        version: bytes | None,
        request_id: bytes,
        answer_bytes: int,
    ) -> None:
        scope = self._scope
        self._log.note(
            scope["method"],
            route_in(scope, self._route_of),
            status,
            model,
            version,
            request_id,
            perf_counter() - self._began_s,
            answer_bytes,
        )


@lru_cache(_KEPT_HEADS)
def _version_in(headers: RawHeaders) -> tuple[bytes | None, bytes | None]:
    """Return the model and the version that an answer's headers name."""
    head = dict(headers)
    return head.get(_MODEL), head.get(_VERSION)
