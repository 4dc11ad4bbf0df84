"""The usual request for predictions, answered before the framework prepares for any other.

Litestar's routing, and its handling of parameters, dependencies and responses, take longer than all
else that the server process does for a small request (docs/decisions, 11). A request that says in
the usual words that it brings JSON and takes JSON needs none of it; every other one goes on to the
handler, and so does whatever is to be known of the call: its description, its other methods, its
errors.
"""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Scope, Send

from service.core.errors import OverloadedError
from service.handlers import problems
from service.handlers.caller import caller_of
from service.handlers.early_refusal import MOST_DIGITS
from service.handlers.request_id import bind_request_id
from service.serving.dataplane import DataPlane, Served
from service.serving.interface import EncodedRequest

PATH = "/predict"
NAMED_PATH = "/models/{name:str}/predict"
_NAMED_BEGIN, _NAMED_END = "/models/", PATH
_JSON = b"application/json"
_ANY = (b"*/*", _JSON)
_ERROR = "direct_error"


class DirectAnswers:
    """Answers a JSON body of a known length, which nobody wants in another form, by JSON.

    `app` is Litestar's own handler, which gets everything else. `find` returns the deployment of a
    name, '' for the default one, and None where there is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        find: Callable[[str], Served | None],
        dataplane: DataPlane,
        max_body_bytes: int,
        may_call: Callable[[bytes], bool],
    ) -> None:
        self._app = app
        self._find = find
        self._dataplane = dataplane
        self._max_body_bytes = max_body_bytes
        self._may_call = may_call
        """Whether a caller may have this in `Host`; the handler's guard says what is wrong."""
        self._usual_host: bytes | None = None
        """The last one that may be had: few callers have another."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on, with the error that `DataPlane.infer` raised if any."""
        deployment = self._deployment(scope["path"])
        if deployment is None or scope.get("method") != "POST":
            await self._app(scope, receive, send)
            return
        body_bytes, is_usual = self._read_head(scope)
        # Before the body is read, which may be large, or slow to come.
        refusal = self._dataplane.refusal(deployment, body_bytes)
        if refusal is not None:
            await self._refuse(scope, send, refusal)
            return
        if not is_usual:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        # The body may have taken long: another deployment may have this name by now.
        deployment = self._deployment(scope["path"]) or deployment
        named = bind_request_id(scope)
        try:
            answer = await self._dataplane.infer(
                deployment, EncodedRequest(body), caller_of(receive)
            )
        except OverloadedError as error:
            await self._refuse(scope, send, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
            scope["state"][_ERROR] = error
            await self._app(scope, receive, send)
            return
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", _JSON),
                (b"content-length", b"%d" % len(answer.body)),
                *answer.names.raw_headers,
                named,
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def _deployment(self, path: str) -> Served | None:
        """Return the deployment that a path asks for predictions; None for any other path.

        And where there is no such deployment: the handler says what there is.
        """
        if path == PATH:
            return self._find("")
        if path.startswith(_NAMED_BEGIN) and path.endswith(_NAMED_END):
            return self._find(path[len(_NAMED_BEGIN) : -len(_NAMED_END)] or "/")
        return None

    async def _refuse(self, scope: Scope, send: Send, error: OverloadedError) -> None:
        """Answer a request that is one too many, for less than the framework takes."""
        status, headers, body = problems.refusal(error)
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, bind_request_id(scope)],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _read_head(self, scope: Scope) -> tuple[int, bool]:
        """Return the body's size, 0 where it is not told, and whether the request is usual."""
        is_json, is_wanted = False, True
        length = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                is_json = value == _JSON
            elif name == b"content-length":
                length = value
            elif name == b"host" and value != self._usual_host:
                if self._may_call(value):
                    self._usual_host = value
                else:
                    is_wanted = False
            elif name == b"accept":
                is_wanted = is_wanted and value in _ANY
            elif name == b"content-encoding":
                # The handler's guard says what is wrong with it.
                is_wanted = False
        if not length.isdigit() or len(length) > MOST_DIGITS:
            return 0, False
        body_bytes = int(length)
        return body_bytes, is_json and is_wanted and body_bytes <= self._max_body_bytes


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
