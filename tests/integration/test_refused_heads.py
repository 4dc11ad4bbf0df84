"""Requests that are refused for overload before their body comes, over real sockets."""

import json
from typing import Any

import pytest

from service.core.errors import OverloadedError
from service.serving.refusal_pace import RefusalPace
from service.serving.routes import Routes
from service.telemetry.observer import NULL_OBSERVER, Observer
from tests.support.direct_answers import direct_answers
from tests.support.wire_server import LIMITS, echo, serve

pytestmark = pytest.mark.loops("asyncio", "uvloop")

GET = b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n"
HEAD = b"POST %b HTTP/1.1\r\nhost: t\r\ncontent-type: %b\r\n"
LENGTH = b"content-length: %d\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
EXPECTS = b"expect: 100-continue\r\n"
JSON, ARROW = b"application/json", b"application/vnd.apache.arrow.stream"
BODY = (GET * 12_000)[:300_000]
"""It looks like requests, and is none."""


class Full:
    """A data plane that takes nothing more."""

    def __init__(self) -> None:
        self.refusals = RefusalPace()

    def refusal(self, *_: object) -> OverloadedError:
        """Refuse it, whatever it is."""
        return OverloadedError("too much is asked", 2.2)


class Deployed:
    """A deployment with nothing behind it."""

    name = "m"

    def __init__(self) -> None:
        self.routes = Routes()
        self.observer: Observer = NULL_OBSERVER


@pytest.fixture
def app() -> Any:
    """Answer predictions as the service does that is full, and everything else by an echo."""
    direct = direct_answers(echo, Full(), lambda _: Deployed(), LIMITS.max_body_bytes)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        # As Litestar does around it: uvicorn takes coroutine functions alone.
        await direct(scope, receive, send)

    return application


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        (b"/predict", JSON, {"type": "urn:mlflow-hotswap:overloaded"}),
        (b"/models/m/predict", ARROW, {"type": "urn:mlflow-hotswap:overloaded"}),
        (b"/invocations", JSON, {"error_code": "TEMPORARILY_UNAVAILABLE"}),
        (b"/endpoints/m/invocations", b"text/csv", {"message": "too much is asked"}),
        (b"/v2/models/m/infer", JSON, {"error": "too much is asked"}),
        (b"/v2/models/m/versions/7/infer", b"", {"error": "too much is asked"}),
    ],
)
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (LENGTH % len(BODY), BODY),
        (LENGTH % len(BODY) + EXPECTS, BODY),
        (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    ],
    ids=["length", "expects 100", "chunked"],
)
async def test_the_answer_comes_before_the_body(
    app: Any, path: bytes, kind: bytes, told: dict[str, str], framing: bytes, body: bytes
) -> None:
    """In its protocol's form. The body is skipped, whatever it looks like, and no more than it."""
    head = HEAD % (path, kind) + framing + b"\r\n"
    async with serve(app, body_timeout_s=20) as server:
        client = await server.connect(head)
        for _ in range(2):
            status, refused = await client.answer()
            assert status == 503
            assert told.items() <= json.loads(refused).items()
            assert server.watch.held_bytes == 0
            for start in range(0, len(body), 70_000):
                await client.send(body[start : start + 70_000])
            await client.send(GET.replace(b"/x", b"/y"))
            assert await client.answer() == (200, b"GET /y 0")
            await client.send(head)
        assert (await client.answer())[0] == 503


@pytest.mark.parametrize(
    "sent", [b"", BODY[:1000], b"x" * (LIMITS.max_body_bytes + 1)], ids=["none", "some", "too much"]
)
async def test_a_connection_whose_body_does_not_end_is_ended(app: Any, sent: bytes) -> None:
    """Without another answer: none of it is a request."""
    async with serve(app) as server:
        client = await server.connect(HEAD % (b"/predict", JSON) + LENGTH % 10**9 + b"\r\n")
        assert (await client.answer())[0] == 503
        await client.send(sent)
        assert await client.has_ended()
        assert server.watch.held_bytes == 0
