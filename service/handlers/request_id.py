"""Give every request an id, in its answer and in each log line that it causes."""

import random
import re
from collections.abc import Mapping
from contextvars import Token
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_KEY = "request_id"
_VARIANTS = {ord(digit): b"89ab"[at % 4 :][:1] for at, digit in enumerate("0123456789abcdef")}
_ACCEPTED = re.compile(rb"[\w.-]{1,128}", re.ASCII)


class RequestIdMiddleware(ASGIMiddleware):
    """Bind the id to all that is logged meanwhile."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Bind the id to the log."""
        bound = bind_request_id(scope)
        await next_app(scope, receive, send)
        # Not where it raises: the error is answered, and logged, further out in the same task.
        structlog.contextvars.reset_contextvars(**bound)


def bind_request_id(scope: Scope) -> Mapping[str, Token[Any]]:
    """Bind the request's id to all that is logged from here on, in this task.

    Return what `structlog.contextvars.reset_contextvars` takes.
    """
    return structlog.contextvars.bind_contextvars(request_id=_id_of(scope).decode())


async def send_request_id(message: Message, scope: Scope) -> None:
    """Put the id into the answer; a hook, since no middleware sees a path that does not exist."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (HEADER, _id_of(scope))]


def _id_of(scope: Scope) -> bytes:
    """Take the caller's `x-request-id` if it is 1 to 128 letters, digits, `_`, `.` or `-`."""
    known: bytes | None = scope["state"].get(_KEY)
    if known is None:
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        known = given if _ACCEPTED.fullmatch(given) else _new_id()
        scope["state"][_KEY] = known
    return known


def _new_id() -> bytes:
    """Return a random UUID (RFC 9562, version 4) as text.

    Not by uuid4(): an id is no secret, and the system's own randomness is a call into the kernel.
    """
    digits = b"%032x" % random.getrandbits(128)
    variant = _VARIANTS[digits[16]]
    return b"-".join(
        (digits[:8], digits[8:12], b"4" + digits[13:16], variant + digits[17:20], digits[20:])
    )
