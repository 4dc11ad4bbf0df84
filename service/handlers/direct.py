"""The usual request for predictions, answered before the framework prepares for any other.

Litestar's routing, and its handling of parameters, dependencies and responses, take longer than all
else that the server process does for a small request (docs/decisions, 11). A request in a
protocol's usual words needs none of it; every other one goes on to the handler, and so does
whatever is to be known of the call: its description, its other methods, its errors.

What is the same for each protocol is here; a protocol's own words are in the `direct` of its
package.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Scope, Send

from service.access.gate import AUTHORIZATION, Gate
from service.access.principal import Permission
from service.core.errors import MalformedHeaderError, OverloadedError
from service.core.protocols import WireProtocol
from service.deployment import Deployment
from service.handlers.answer import Answer
from service.handlers.caller import Connected, caller_of, connected
from service.handlers.compression import Compression
from service.handlers.deadline import HEADER as TIMEOUT
from service.handlers.deadline import bind_deadline, deadline_in, earlier
from service.handlers.predict_paths import Asked, PredictPaths
from service.handlers.request_id import HEADER as REQUEST_ID
from service.handlers.request_id import bind_request_id
from service.handlers.security_headers import EVERY_ANSWER
from service.serving.dataplane import DataPlane, EncodedAnswer
from service.serving.interface import EncodedRequest
from service.serving.named_version import is_served
from service.serving.turns import Turns
from service.telemetry.metrics.calls import CallCounts

MOST_DIGITS = 15
"""A number of more digits is none that a body could have."""
_ERROR = "direct_error"
_HOST, _LENGTH, _ENCODING = b"host", b"content-length", b"content-encoding"
_READ = frozenset({_HOST, _LENGTH, _ENCODING, AUTHORIZATION, TIMEOUT, REQUEST_ID})

Headers = Sequence[tuple[bytes, bytes]]
Head = Mapping[bytes, bytes]
"""A request's headers, by their names in small letters."""


class DirectProtocol(Protocol):
    """What a protocol says of its usual requests, and how it answers them."""

    @property
    def wire(self) -> WireProtocol:
        """Which one it is, for those that count."""
        ...

    @property
    def paths(self) -> Sequence[str]:
        """Where it is asked for predictions."""
        ...

    @property
    def headers(self) -> Sequence[bytes]:
        """Which headers it looks at."""
        ...

    def is_usual(self, head: Head) -> bool:
        """Tell whether a head has no other words than usual ones."""
        ...

    def request(
        self, head: Head, chunks: Sequence[bytes], deployment: Deployment
    ) -> tuple[EncodedRequest, float | None]:
        """Return the request that a body is, and the seconds that it gives itself.

        Raise what is wrong with it.
        """
        ...

    def answer(self, head: Head, answered: EncodedAnswer) -> Answer:
        """Return the answer as it is sent."""
        ...

    def refusal(self, error: OverloadedError) -> Answer:
        """Return what a request is told that is one too many."""
        ...


class DirectAnswers:
    """Answers a body of a known length in a protocol's usual words.

    `app` is Litestar's own handler, which gets everything else. `find` returns the deployment of a
    name, '' for the default one, and None where there is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        protocols: Sequence[DirectProtocol],
        find: Callable[[str], Deployment | None],
        dataplane: DataPlane,
        compression: Compression,
        max_body_bytes: int,
        may_call: Callable[[bytes], bool],
        gate: Gate,
        turns: Turns,
        counts: CallCounts,
    ) -> None:
        self._app = app
        self._counts = counts.http
        self._wants_keys = gate.wants_keys
        self._known = gate.known
        self._turns = turns
        self._paths = PredictPaths(protocols)
        self._read = _READ.union(*(protocol.headers for protocol in protocols))
        self._find = find
        self._dataplane = dataplane
        self._compression = compression
        self._max_body_bytes = max_body_bytes
        self._may_call = may_call
        """Whether a caller may have this in `Host`; the handler's guard says what is wrong."""
        self._usual_host: bytes | None = None
        """The last one that may be had: few callers have another."""

    def route_of(self, path: str) -> str | None:
        """Return the route of a path that is asked for predictions, None for any other."""
        asked = self._paths.find(path)
        return None if asked is None else asked.route

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer, or pass the request on, with the error that it met if any.

        A function that returns what is to be awaited: a coroutine around another one costs both.
        """
        asked = self._paths.find(scope["path"]) if scope.get("method") == "POST" else None
        deployment = None if asked is None else self._find(asked.name)
        if asked is None or deployment is None:
            # The handler says which models there are.
            return self._app(scope, receive, send)
        if not self._turns.has_turn(deployment.name):
            return self._in_turn(asked, deployment, scope, receive, send)
        return self._begin(asked, deployment, scope, receive, send)

    async def _in_turn(
        self,
        asked: Asked[DirectProtocol],
        deployment: Deployment,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Begin behind those for other models that came later."""
        await self._turns.turn(deployment.name)
        deployment = self._find(asked.name) or deployment
        await self._begin(asked, deployment, scope, receive, send)

    def _begin(
        self,
        asked: Asked[DirectProtocol],
        deployment: Deployment,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> Awaitable[None]:
        """Answer a request for a model, or pass it on, with the error that it met if any."""
        headers: Headers = scope["headers"]  # type: ignore[assignment]
        head = dict(headers)
        if self._wants_keys and not self._is_permitted(head, deployment):
            # The handler's guard asks for the key, and says what is wrong with it.
            return self._app(scope, receive, send)
        length = head.get(_LENGTH, b"")
        is_told = length.isdigit() and len(length) <= MOST_DIGITS
        body_bytes = int(length) if is_told else 0
        deadline_s = None
        if TIMEOUT in head:
            try:
                deadline_s = bind_deadline(scope, head[TIMEOUT])
            except MalformedHeaderError as error:
                return self._pass_on(asked, deployment, error, scope, receive, send)
        # Before the body is read, which may be large, or slow to come.
        wire = asked.protocol.wire
        refusal = self._dataplane.refusal(deployment, wire, body_bytes, deadline_s)
        if refusal is not None:
            return self._refuse(asked, deployment, refusal, deadline_s, scope, send)
        if (
            is_told
            and body_bytes <= self._max_body_bytes
            # What comes twice, or was encoded, is for the handler to understand.
            and (len(head) == len(headers) or not self._has_twice(headers))
            and _ENCODING not in head
            and self._may_have(head.get(_HOST))
            and asked.protocol.is_usual(head)
            and (not asked.version or is_served(deployment.routes, asked.version))
        ):
            return self._answer(asked, deployment, head, deadline_s, scope, receive, send)
        return self._app(scope, receive, send)

    async def _answer(
        self,
        asked: Asked[DirectProtocol],
        deployment: Deployment,
        head: Head,
        deadline_s: float | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Read a usual request's body, and answer it."""
        own = connected(send)
        whole = None if own is None else own.take_body()
        chunks = await _read(receive) if whole is None else [whole]
        if chunks is None:
            return
        # The body may have taken long: another deployment may have this name by now. Not another
        # name, should the default be another one: the caller may not use that.
        deployment = self._find(deployment.name) or deployment
        named, caller = bind_request_id(scope, head), caller_of(receive)
        try:
            request, timeout_s = asked.protocol.request(head, chunks, deployment)
            del chunks
            if timeout_s is not None:
                deadline_s = earlier(deadline_s, deadline_in(timeout_s))
            answered = await self._dataplane.infer(
                deployment,
                asked.protocol.wire,
                request,
                caller,
                deadline_s,
                asked.version,
            )
            answer = asked.protocol.answer(head, answered)
            if answer.coding:
                answer = await self._compression.applied(answer)
        except OverloadedError as error:
            await self._refuse(asked, deployment, error, deadline_s, scope, send)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered in one place
            await self._pass_on(asked, deployment, error, scope, receive, send)
            return
        if caller is None or not caller.disconnected:
            self._counts[asked.route, answer.status] += 1
        await _send(answer, named, send, own)

    def _has_twice(self, headers: Headers) -> bool:
        """Tell whether one that is looked at is there twice."""
        names = [name for name, _ in headers if name in self._read]
        return len(names) > len(set(names))

    def _is_permitted(self, head: Head, deployment: Deployment) -> bool:
        """Tell whether a caller is remembered that may ask this model for predictions."""
        principal = self._known(head.get(AUTHORIZATION))
        return (
            principal is not None
            and principal.may(Permission.PREDICT)
            and principal.may_use(deployment.name)
        )

    def _may_have(self, host: bytes | None) -> bool:
        if host is None or host == self._usual_host:
            return True
        if not self._may_call(host):
            return False
        self._usual_host = host
        return True

    async def _refuse(
        self,
        asked: Asked[DirectProtocol],
        deployment: Deployment,
        error: OverloadedError,
        deadline_s: float | None,
        scope: Scope,
        send: Send,
    ) -> None:
        """Answer a request that is one too many, for less than the framework takes."""
        await self._dataplane.refusals.wait(
            deployment.name, deadline_s, beside_others=self._turns.are_shared
        )
        answer, named = asked.protocol.refusal(error), bind_request_id(scope)
        self._counts[asked.route, answer.status] += 1
        await _send(answer, named, send, connected(send))

    async def _pass_on(
        self,
        asked: Asked[DirectProtocol],
        deployment: Deployment,
        error: Exception,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Have the protocol's own table of errors answer one."""
        self._dataplane.note_failed(deployment, asked.protocol.wire, error)
        scope["state"][_ERROR] = error
        await self._app(scope, receive, send)


class RaiseAgain(ASGIMiddleware):
    """Raises what a direct answer met where the handler would have raised it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raise it, or go on where there was no direct answer."""
        error = scope["state"].pop(_ERROR, None)
        if error is not None:
            raise error
        await next_app(scope, receive, send)


async def _read(receive: Receive) -> list[bytes] | None:
    """Return the body, None where the caller hung up before its end."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message["body"])
        if not message["more_body"]:
            return chunks


def _start_of(answer: Answer, named: tuple[bytes, bytes]) -> HTTPResponseStartEvent:
    """Return the message before the body's, with the length and the request's id."""
    length = (_LENGTH, b"%d" % len(answer.body))
    return {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [*answer.headers, *EVERY_ANSWER, length, named],
    }


async def _send(
    answer: Answer, named: tuple[bytes, bytes], send: Send, own: Connected | None
) -> None:
    body = answer.body
    if (
        own is not None
        and isinstance(body, bytes)
        and own.try_answer(answer.status, (*answer.headers, *EVERY_ANSWER), named, body)
    ):
        return
    await send(_start_of(answer, named))
    left = len(answer.body)
    for part in answer.parts():
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": left > 0})
