"""The limit of the HTTP layer: a bare ASGI callable that reads a body and answers a constant."""

from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = (
    b'{"predictions":[{"archived_gb":20.79513477,"savings_gb":9.79321341}],'
    b'"model_name":"archive-forecast-rf","model_stage":"@champion","model_version":"1"}'
)
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer every request alike."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
