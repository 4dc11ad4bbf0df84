"""Give every request an id, in its answer and in each log line that it causes."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from random import getrandbits
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from service.core.errors import CallerGoneError
from service.handlers.security_headers import guarded
from service.telemetry.metrics.calls import CallCounts

HEADER = b"x-request-id"
_KEY = "request_id"
_LOGGED: ContextVar[str] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}{_KEY}")
"""The variable that structlog merges into each line: `bind_contextvars` looks it up by name."""
_PROCESS = b"%08x-%04x-4%03x-" % (getrandbits(32), getrandbits(16), getrandbits(12))
_ACCEPTED = re.compile(rb"[\w.-]{1,128}", re.ASCII)


class RequestIds:
    """Puts the id into each answer of `app`, Litestar's own handler, and into the log meanwhile.

    Around all of it, since no middleware of Litestar's sees a path that does not exist, and a hook
    of Litestar's is called for each message of each answer. So they are counted here, too.
    """

    def __init__(self, app: ASGIApp, counts: CallCounts) -> None:
        self._app = app
        self._counts = counts.http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        header, method = bind_request_id(scope), scope["method"]
        body = _WholeBody(receive)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = guarded(method, [*message["headers"], header])
                if not body.disconnected:
                    self._counts[scope.get("path_template") or "", message["status"]] += 1
            await send(message)

        await self._app(scope, body.receive, send_with_id)


class _WholeBody:
    """Receives for an application, and raises CallerGoneError where a body breaks off.

    Litestar would take that for a defect of the service's, and log it with a traceback.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_whole = False

    @property
    def disconnected(self) -> bool:
        """Whether the caller has gone, as far as the server's own `receive` knows."""
        return bool(getattr(getattr(self._receive, "__self__", None), "disconnected", False))

    async def receive(self) -> Any:
        """Return the next message."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._is_whole = not message.get("more_body", False)
        elif not self._is_whole:
            raise CallerGoneError("the caller hung up before the end of the body")
        return message


def bind_request_id(scope: Scope, head: Mapping[bytes, bytes] | None = None) -> tuple[bytes, bytes]:
    """Bind the request's id to all that is logged from here on, in this task: it has no other.

    `head` has the header where the request has it, and spares a look at all of them. Return the
    header that the answer is to have.
    """
    known = _id_of(scope, head)
    _LOGGED.set(known.decode())
    return HEADER, known


def bind_given_id(given: bytes) -> None:
    """Bind the id that a caller gave, or a new one where it gave none or another text."""
    _LOGGED.set(_usable(given).decode())


def bound_id() -> str:
    """Return the id that is bound in this task."""
    return _LOGGED.get()


def _id_of(scope: Scope, head: Mapping[bytes, bytes] | None) -> bytes:
    known: bytes | None = scope["state"].get(_KEY)
    if known is None:
        if head is None:
            given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        else:
            given = head.get(HEADER, b"")
        known = _usable(given)
        scope["state"][_KEY] = known
    return known


def _usable(given: bytes) -> bytes:
    """Return a caller's id if it is 1 to 128 letters, digits, `_`, `.` or `-`, else a new one."""
    return given if given and _ACCEPTED.fullmatch(given) else _new_id()


def _new_id() -> bytes:
    """Return a random UUID (RFC 9562, version 4) as text.

    Not by uuid4(): an id is no secret, and the system's own randomness is a call into the kernel.
    Its first half is one for the process: to write 62 bits takes half as long as to write 122.
    """
    return b"%b%04x-%012x" % (_PROCESS, 0x8000 | getrandbits(14), getrandbits(48))
