"""The functions that wake the service, without Azure: what they believe, and what they call."""

import contextlib
import http.server
import inspect
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest

from deploy.azure.functions.waking import (
    FRESHNESS_S,
    NotBelievedError,
    NotConfiguredError,
    NotWokenError,
    Service,
    believe,
    wake,
)
from service.registry import webhook
from tests.support.manifests import DEPLOY
from tests.support.own_names import routes

SECRET = "s" * 40
BODY = b'{"entity":"model_version_alias","action":"created","data":{"name":"wine"}}'
NOW = 1_800_000_000


@dataclass
class Stub:
    """A service that notes how it was called, and answers what it is told to."""

    url: str = ""
    status: int = 200
    message: Any = field(default_factory=lambda: {"message": "version 2 now serves"})
    delay_s: float = 0.0
    calls: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Serve on loopback."""
    told, released = Stub(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.calls.append((self.path, self.headers["authorization"]))
            if told.delay_s:
                released.wait(told.delay_s)
            body = json.dumps(told.message).encode()
            self.send_response(told.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            # Its caller may have gone.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def headers(secret: str = SECRET, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    """Sign a delivery as MLflow does, which is what the service itself goes by."""
    signature = webhook.Deliveries(secret).signature("delivery-1", str(at), body)
    return {
        "x-mlflow-delivery-id": "delivery-1",
        "x-mlflow-timestamp": str(at),
        "x-mlflow-signature": signature.decode(),
    }


def test_what_mlflow_signed_just_now_is_believed() -> None:
    """And what is sent again, since to look once too often harms nobody."""
    for _ in range(2):
        believe(SECRET, headers(), BODY, lambda: NOW + FRESHNESS_S)


@pytest.mark.parametrize(
    ("given", "body", "now"),
    [
        (headers("another"), BODY, NOW),
        (headers(), BODY + b" ", NOW),
        (headers(), BODY, NOW + FRESHNESS_S + 1),
        (headers(), BODY, NOW - FRESHNESS_S - 1),
        ({}, BODY, NOW),
        ({**headers(), "x-mlflow-timestamp": "soon"}, BODY, NOW),
        ({**headers(), "x-mlflow-delivery-id": "a b"}, BODY, NOW),
        ({**headers(), "x-mlflow-signature": "v1,ü"}, BODY, NOW),
    ],
)
def test_anything_else_is_not(given: dict[str, str], body: bytes, now: int) -> None:
    """Another secret, another body, another time, headers that are missing or no headers."""
    with pytest.raises(NotBelievedError):
        believe(SECRET, given, body, lambda: now)


def test_it_believes_for_as_long_as_the_service_does() -> None:
    """The two have one rule."""
    assert FRESHNESS_S == webhook.FRESHNESS_S


def test_without_a_secret_nothing_is_believed() -> None:
    """An empty one would be everybody's."""
    with pytest.raises(NotConfiguredError):
        believe("", headers(""), BODY, lambda: NOW)


@pytest.mark.parametrize(
    ("model", "path", "route"),
    [
        ("", "/reload-model", "/reload-model"),
        ("a b/c", "/models/a%20b%2Fc/reload", "/models/{name}/reload"),
    ],
)
def test_the_service_is_told_to_look(stub: Stub, model: str, path: str, route: str) -> None:
    """By a call that it has, with its token; its answer is what is said."""
    assert wake(Service(stub.url, "token-1", model), 5) == "version 2 now serves"
    assert stub.calls == [(path, "Bearer token-1")]
    assert ("POST", route) in {(method, known.replace(":str", "")) for method, known in routes()}


def test_a_version_that_was_refused_is_an_answer(stub: Stub) -> None:
    """It is for people to look at, not for the timer to try again."""
    stub.status = 409
    assert wake(Service(stub.url, "t"), 5).startswith("refused: ")


@pytest.mark.parametrize("status", [401, 404, 502, 503])
def test_any_other_answer_is_a_failure(stub: Stub, status: int) -> None:
    """The function fails, and shows as failed."""
    stub.status = status
    with pytest.raises(NotWokenError, match=str(status)):
        wake(Service(stub.url, "t"), 5)


@pytest.mark.parametrize("message", [[], {"another": 1}, "text"])
def test_an_answer_of_another_kind_is_a_failure(stub: Stub, message: object) -> None:
    """Something else listens there."""
    stub.message = message
    with pytest.raises(NotWokenError):
        wake(Service(stub.url, "t"), 5)


def test_a_service_that_takes_longer_was_woken_all_the_same(stub: Stub) -> None:
    """It goes on; the function's time is bounded."""
    stub.delay_s = 30
    began = time.monotonic()
    assert wake(Service(stub.url, "t"), 0.3).startswith("still at work")
    assert time.monotonic() - began < 10
    assert len(stub.calls) == 1


def test_nobody_there_is_a_failure() -> None:
    """A refused connection is not 'still at work'."""
    with pytest.raises(NotWokenError):
        wake(Service("http://127.0.0.1:1", "t"), 5)


@pytest.mark.parametrize(
    "environ",
    [{}, {"HOTSWAP_URL": "http://a"}, {"HOTSWAP_URL": "file:///etc", "HOTSWAP_ADMIN_TOKEN": "t"}],
)
def test_settings_that_are_missing_are_said(environ: dict[str, str]) -> None:
    """Before anything is called."""
    with pytest.raises(NotConfiguredError):
        Service.of(environ)


def test_azure_finds_both_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes what its trigger gives, under the trigger's name; its settings are documented."""
    monkeypatch.syspath_prepend(DEPLOY / "azure" / "functions")
    found = import_module("function_app").app.get_functions()
    for name in ("function_app", "waking"):
        monkeypatch.delitem(sys.modules, name)
    assert sorted(each.get_function_name() for each in found) == [
        "wake_by_the_clock",
        "wake_by_webhook",
    ]
    for each in found:
        taken = inspect.signature(each.get_user_function()).parameters
        assert each.get_trigger().name in taken
    folder = DEPLOY / "azure"
    code = "\n".join(file.read_text("utf-8") for file in (folder / "functions").glob("*.py"))
    named = set(re.findall(r"\bHOTSWAP_[A-Z_]+\b", code))
    text = (folder / "README.md").read_text("utf-8")
    assert [name for name in named if f"| `{name}` |" not in text] == []
    json.loads((folder / "functions" / "host.json").read_text("utf-8"))
