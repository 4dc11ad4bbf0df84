"""Requests over HTTP in the access log, whichever way they are answered."""

from typing import Any, cast

import pytest
import structlog
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import AsyncTestClient

from service.handlers.access import AccessLogged
from service.handlers.request_id import RequestIds
from service.telemetry.access_log import AccessLog
from service.telemetry.metrics.calls import CallCounts
from tests.support.direct_answers import direct_answers
from tests.unit.handlers.test_direct import BODY_BYTES, Full, found


@get("/things/{name:str}", sync_to_thread=False)
def thing(name: FromPath[str]) -> dict[str, str]:
    """Answer something."""
    return {"name": name}


async def lines_of(*requests: tuple[str, str]) -> list[Any]:
    """Return what is noted of requests, which are refused where they are for predictions."""
    app = Litestar([thing], openapi_config=None, logging_config=None)
    direct = direct_answers(RequestIds(app.asgi_handler, CallCounts()), Full(), found, BODY_BYTES)
    app.asgi_handler = AccessLogged(direct, AccessLog(None), direct.route_of)
    async with AsyncTestClient(app) as client:
        with structlog.testing.capture_logs() as lines:
            for method, path in requests:
                answer = await client.request(method, path, headers={"x-request-id": "a-1"})
                line = noted(lines)[-1]
                assert line["status"] == answer.status_code
                assert line["bytes"] == len(answer.content)
                assert line["request_id"] == answer.headers["x-request-id"] == "a-1"
                assert line["ms"] > 0
    assert len(noted(lines)) == len(requests)
    return noted(lines)


def noted(lines: Any) -> list[Any]:
    """Return the lines of the access log."""
    return [line for line in lines if line["event"] == "request"]


async def test_each_request_is_noted_by_its_route() -> None:
    """The framework's routes and those that are answered without it."""
    lines = await lines_of(
        ("GET", "/things/a"),
        ("POST", "/models/m/predict"),
        ("POST", "/v2/models/m/versions/7/infer"),
        ("POST", "/things/a"),
    )
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/things/{name}", 200),
        ("POST", "/models/{name}/predict", 503),
        ("POST", "/v2/models/{name}/versions/{version}/infer", 503),
        ("POST", None, 405),
    ]
    assert [(line["model"], line["version"]) for line in lines[:2]] == [(None, None), ("m", "7")]


@pytest.mark.parametrize(
    "path", ["/a%0A{}", "/things/%22%0D%0A", "/%1b[2J", "/\u2028", "/x?token=geheim"]
)
async def test_what_a_caller_writes_into_a_path_is_in_no_line(path: str) -> None:
    """The route is, or nothing where there is none."""
    [line] = await lines_of(("GET", path))
    assert line["path"] in {None, "/things/{name}"}
    assert "geheim" not in str(line)


class Connection:
    """Takes answers whole where it can, else by messages."""

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole
        self.sent = 0

    def take_body(self) -> bytes:
        """Return a body."""
        return b"{}"

    def try_answer(self, *_: object) -> bool:
        """Take it, or leave it to messages."""
        self.sent += self._is_whole
        return self._is_whole

    async def send(self, _message: object) -> None:
        """Take a part."""
        self.sent += 1


@pytest.mark.parametrize(("is_whole", "sent"), [(True, 1), (False, 2)])
async def test_an_answer_that_is_sent_whole_is_noted_once(is_whole: bool, sent: int) -> None:  # noqa: FBT001
    """Also where the connection leaves it to messages, because its reader is slow."""
    connection = Connection(is_whole=is_whole)
    direct = direct_answers(Any, Full(), found, BODY_BYTES)
    app = AccessLogged(direct, AccessLog(None), direct.route_of)
    scope = {
        "type": "http",
        "path": "/predict",
        "method": "POST",
        "state": {},
        "headers": [(b"content-length", b"2"), (b"x-request-id", b"a-1")],
    }
    with structlog.testing.capture_logs() as lines:
        await app(scope, cast("Any", None), connection.send)
    [line] = noted(lines)
    assert connection.sent == sent
    assert (line["status"], line["path"], line["request_id"]) == (503, "/predict", "a-1")
    assert (line["model"], line["version"]) == ("m", "7")
    assert line["bytes"] > 0
