"""Give every request an id, in its answer and in each log line that it causes."""

import re
import uuid

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[\w.-]{1,128}", re.ASCII)


class RequestIdMiddleware(ASGIMiddleware):
    """Take the caller's `x-request-id` if it is 1 to 128 letters, digits, `_`, `.` or `-`."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Bind the id to the log, and send it back."""
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given if _ACCEPTED.fullmatch(given) else str(uuid.uuid4()).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        try:
            await next_app(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
