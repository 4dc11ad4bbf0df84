"""A caller that hangs up in mid-body, as the framework's own handling meets it."""

from collections.abc import Callable
from typing import Any

import structlog
from litestar import Litestar, Request, post
from litestar.params import RawBody

from service.core.errors import ServiceError
from service.handlers import problems
from service.handlers.caller import caller_of
from service.handlers.request_id import RequestIds
from service.telemetry.metrics.calls import CallCounts
from tests.support.wire_server import serve, until

HEAD = b"POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n"
BEGINNINGS = (b"", b"x" * 10, b"x" * 200_000)
LEFT_EARLY = len(BEGINNINGS)


async def test_it_is_no_defect_of_ours() -> None:
    """It is told at debug level, without a traceback; a body that is whole knows its caller."""
    callers: list[Any] = []

    @post("/x", status_code=200)
    async def handler(request: Request[Any, Any, Any], body: RawBody) -> bytes:
        callers.append(caller_of(request.receive))
        return body

    handlers: dict[Any, Callable[..., Any]] = {
        ServiceError: problems.answer_service_error,
        Exception: problems.answer_unexpected,
    }
    app = Litestar([handler], exception_handlers=handlers, openapi_config=None)
    with structlog.testing.capture_logs() as logs:
        app.asgi_handler = RequestIds(app.asgi_handler, CallCounts())
        async with serve(app) as server:
            whole = await server.connect(HEAD % 3 + b"abc")
            assert (await whole.answer())[0] == 200
            assert callers[0].disconnected is False
            whole.leave()
            for sent in BEGINNINGS:
                gone = await server.connect(HEAD % 300_000 + sent)
                await until(lambda: bool(server.watch.bodies))
                gone.leave()
                await until(lambda: not server.watch.open)
            await until(lambda: callers[0].disconnected)
            await until(lambda: len(logs) >= LEFT_EARLY)
    told = [(line["log_level"], line["event"]) for line in logs]
    assert told == [("debug", "request refused")] * LEFT_EARLY
