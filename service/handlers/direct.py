"""The usual request of `/predict`, answered before the framework prepares for any other.

Litestar's handling of parameters, dependencies and responses takes longer than all else that the
front does for a small request (docs/decisions, 11). A request that says in the usual words that
it brings JSON and takes JSON needs none of it; every other one goes on to the handler, and so does
whatever is to be known of the call: its description, its other methods, its errors.
"""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Scope, Send

from service.handlers.naming import ReplyNames
from service.serving.dataplane import DataPlane

_JSON = b"application/json"
_ANY = (b"*/*", _JSON)


class DirectAnswers(ASGIMiddleware):
    """Answers a JSON body of a known length, which nobody wants in another form, by JSON."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, dataplane: DataPlane, names: ReplyNames, max_body_bytes: int) -> None:
        self._dataplane = dataplane
        self._names = names
        self._max_body_bytes = max_body_bytes

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answer, raise what `DataPlane.infer` raises, or pass the request on as it is."""
        if not self._is_usual(scope):
            await next_app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        prediction = await self._dataplane.infer(body)
        reply = self._names.reply(prediction)
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", _JSON),
                (b"content-length", b"%d" % len(reply)),
                *self._names.headers(prediction.version),
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": reply, "more_body": False})

    def _is_usual(self, scope: Scope) -> bool:
        if scope["method"] != "POST":  # type: ignore[typeddict-item] # HTTP alone comes here
            return False
        is_json = False
        length = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                is_json = value == _JSON
            elif name == b"content-length":
                length = value
            elif name == b"accept" and value not in _ANY:
                return False
        return is_json and length.isdigit() and int(length) <= self._max_body_bytes


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
