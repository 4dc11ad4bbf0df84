"""The usual request of `/predict`, answered before the framework prepares for any other.

Litestar's routing, and its handling of parameters, dependencies and responses, take longer than all
else that the front does for a small request (docs/decisions, 11). A request that says in the usual
words that it brings JSON and takes JSON needs none of it; every other one goes on to the handler,
and so does whatever is to be known of the call: its description, its other methods, its errors.
"""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Scope, Send

from service.handlers.naming import ReplyNames
from service.handlers.request_id import bind_request_id
from service.serving.dataplane import DataPlane

PATH = "/predict"
_JSON = b"application/json"
_ANY = (b"*/*", _JSON)
_ERROR = "direct_error"


class DirectAnswers:
    """Answers a JSON body of a known length, which nobody wants in another form, by JSON.

    `app` is Litestar's own handler, which gets everything else.
    """

    def __init__(
        self,
        app: ASGIApp,
        dataplane: DataPlane,
        names: ReplyNames,
        max_body_bytes: int,
        may_call: Callable[[bytes], bool],
    ) -> None:
        self._app = app
        self._dataplane = dataplane
        self._names = names
        self._max_body_bytes = max_body_bytes
        self._may_call = may_call
        """Whether a caller may have this in `Host`; the handler's guard says what is wrong."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on, with the error that `DataPlane.infer` raised if any."""
        if not self._is_usual(scope):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        named = bind_request_id(scope)
        try:
            prediction = await self._dataplane.infer(body)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
            scope["state"][_ERROR] = error
            await self._app(scope, receive, send)
            return
        reply = self._names.reply(prediction)
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", _JSON),
                (b"content-length", b"%d" % len(reply)),
                *self._names.headers(prediction.version),
                named,
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": reply, "more_body": False})

    def _is_usual(self, scope: Scope) -> bool:
        if scope["path"] != PATH or scope.get("method") != "POST":
            return False
        is_json = False
        length = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                is_json = value == _JSON
            elif name == b"content-length":
                length = value
            elif name == b"host":
                if not self._may_call(value):
                    return False
            elif name == b"accept" and value not in _ANY:
                return False
        return is_json and length.isdigit() and int(length) <= self._max_body_bytes


class RaiseAgain(ASGIMiddleware):
    """Raises what a direct answer met where the handler would have raised it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raise it, or go on where there was no direct answer."""
        error = scope["state"].pop(_ERROR, None)
        if error is not None:
            raise error
        await next_app(scope, receive, send)


async def _read(receive: Receive) -> bytes | None:
    """Return the body, None where the caller hung up before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message["body"])
        if not message["more_body"]:
            return parts[0] if len(parts) == 1 else b"".join(parts)
