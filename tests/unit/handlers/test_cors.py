"""Which origins' pages may read which answers."""

from typing import Any

import pytest

from service.handlers.cors import CrossOrigin
from service.telemetry.metrics.calls import CallCounts

APP, OTHER = b"https://app.example.com", b"https://evil.example"
ALLOW = b"access-control-allow-origin"


async def asked(
    method: str, path: str, *headers: tuple[bytes, bytes], origins: str = "https://app.example.com"
) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Return status and headers of the answer; the application's own has status 200."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "state": {}}
    cors = CrossOrigin(
        app, origins, lambda path: path if path.endswith("/predict") else None, CallCounts()
    )
    await cors(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], list(sent[0]["headers"])


PREFLIGHT = ((b"origin", APP), (b"access-control-request-method", b"POST"))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("HEAD", "/docs"), ("POST", "/predict")]
)
async def test_an_origin_that_is_named_may_read(method: str, path: str) -> None:
    """What is asked with GET, and predictions; another one may not, nor one that is there twice."""
    status, headers = await asked(method, path, (b"origin", APP))
    assert (status, dict(headers)[ALLOW]) == (200, APP)
    assert (b"vary", b"origin") in headers
    for origin in (OTHER, b"null", APP + b".evil.example", b"http://app.example.com", b"*", b""):
        _, headers = await asked(method, path, (b"origin", origin))
        assert ALLOW not in dict(headers)
    _, headers = await asked(method, path, (b"origin", OTHER), (b"origin", APP))
    assert ALLOW not in dict(headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/reload-model"), ("DELETE", "/model/pin"), ("POST", "/x"), ("PUT", "/predict")],
)
async def test_nothing_else_is_allowed_to_any(method: str, path: str) -> None:
    """Whatever is added to the service: what is not a prediction has to be asked with GET."""
    for origins in ("https://app.example.com", "*"):
        _, headers = await asked(method, path, (b"origin", APP), origins=origins)
        assert headers == [(b"a", b"b")]
        status, headers = await asked("OPTIONS", path, *PREFLIGHT, origins=origins)
        allowed = {b"POST"} if path == "/predict" else set()
        assert status == 204
        assert {b"DELETE", b"PUT", b"PATCH", b"POST"} & set(
            dict(headers)[b"access-control-allow-methods"].split(b", ")
        ) == allowed


async def test_preflights_are_answered_to_origins_that_are_named() -> None:
    """Without credentials of the browser's own; another's are the application's."""
    status, headers = await asked("OPTIONS", "/predict", *PREFLIGHT)
    known = dict(headers)
    assert (status, known[ALLOW]) == (204, APP)
    assert b"authorization" in known[b"access-control-allow-headers"]
    assert b"access-control-allow-credentials" not in known
    other = ((b"origin", OTHER), PREFLIGHT[1])
    assert await asked("OPTIONS", "/predict", *other) == (200, [(b"a", b"b")])
    assert await asked("OPTIONS", "/predict", PREFLIGHT[0]) == (200, [(b"a", b"b")])


async def test_any_origin() -> None:
    """By `*`; what comes from no page is as it was."""
    _, headers = await asked("POST", "/predict", (b"origin", OTHER), origins="*")
    assert dict(headers)[ALLOW] == b"*"
    assert await asked("GET", "/health", origins="*") == (200, [(b"a", b"b")])


async def test_what_a_cache_may_keep_is_kept_for_each_origin() -> None:
    """An answer to one that may not read it is none for one that may."""
    _, headers = await asked("GET", "/docs")
    assert headers == [(b"a", b"b"), (b"vary", b"origin")]
