"""What is refused for overload is answered from its head."""

import asyncio
import json
from typing import Any, cast

import pytest

from service.access.gate import Gate
from service.access.principal import Principal, Scope
from service.core.errors import OverloadedError
from service.core.versions import ModelVersion
from service.serving.routes import Routes
from service.serving.turns import TOGETHER
from service.telemetry.observer import NULL_OBSERVER, Observer
from tests.support.direct_answers import direct_answers

VERSION = ModelVersion("r", "m", "7", "", "", 0)
BODY_BYTES = 30_000_000


class Pace:
    """Holds nothing back, and notes which model refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    async def wait(
        self, model: str, deadline_s: float | None = None, *, beside_others: bool = False
    ) -> None:
        """Note it."""
        del deadline_s, beside_others
        self.refused.append(model)


class Full:
    """A data plane that takes nothing more."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float | None]] = []
        self.refusals = Pace()

    def refusal(
        self, _deployment: object, _: object, body_bytes: int, deadline_s: float | None
    ) -> OverloadedError:
        """Refuse it, whatever it is."""
        self.asked.append((body_bytes, deadline_s))
        refusal = OverloadedError("too much is asked", 2.2)
        refusal.answered_by = VERSION
        return refusal


class Deployed:
    """A deployment with nothing behind it."""

    def __init__(self, name: str = "m") -> None:
        self.name = name
        self.routes = Routes()
        self.observer: Observer = NULL_OBSERVER


class Free:
    """A data plane that takes everything, and is not to be asked for an answer."""

    def refusal(self, *_: object) -> None:
        """Let it in."""

    async def infer(self, *request: object) -> Any:
        """Tell that it was asked."""
        raise LookupError(request)

    def note_failed(self, *_: object) -> None:
        """Note nothing."""


class Noting(Free):
    """A data plane that takes everything, and notes which model was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def infer(self, *request: Any) -> Any:
        """Note it."""
        self.asked.append(request[0].name)
        raise LookupError


def found(_name: str) -> Deployed:
    """Return it, whatever its name."""
    return Deployed()


async def not_called(*_: Any) -> None:
    """Fail."""
    raise AssertionError("the body was read, or the framework asked")


@pytest.mark.parametrize("kind", [b"application/json", b"application/vnd.apache.arrow.stream"])
async def test_a_refused_body_is_never_read(kind: bytes) -> None:
    """Whatever it brings: 503 as a problem, with when to try again and which version serves."""
    full, sent = Full(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    app = direct_answers(not_called, full, found, 2 * BODY_BYTES)
    scope = {
        "type": "http",
        "path": "/predict",
        "method": "POST",
        "headers": [(b"content-type", kind), (b"content-length", b"%d" % BODY_BYTES)],
        "state": {},
    }
    await app(cast("Any", scope), cast("Any", not_called), send)
    start, body = sent
    headers = dict(start["headers"])
    assert (start["status"], headers[b"retry-after"]) == (503, b"3")
    assert headers[b"x-model-version"] == b"7"
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    problem = json.loads(body["body"])
    assert problem["type"] == "urn:mlflow-hotswap:overloaded"
    assert problem["retry_after_s"] == 2.2
    assert full.asked == [(BODY_BYTES, None)]


@pytest.mark.parametrize("path", ["/predict", "/models/m/predict", "/models/m/invocations"])
async def test_a_model_has_one_pace_whatever_it_is_called_by(path: str) -> None:
    """By its own name in this service: by no name, by each protocol, the data plane's one pace."""
    full, sent = Full(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    app = direct_answers(not_called, full, found, 2 * BODY_BYTES)
    scope = {"type": "http", "path": path, "method": "POST", "headers": [], "state": {}}
    await app(cast("Any", scope), cast("Any", not_called), send)
    assert sent[0]["status"] == 503
    assert full.refusals.refused == ["m"]


@pytest.mark.parametrize("host", [b"", b"evil.example", b"localhost, evil.example"])
async def test_a_host_that_may_not_call_is_left_to_the_guard(host: bytes) -> None:
    """Also an empty one, and one that comes beside or after a host that may."""
    passed: list[Any] = []

    async def framework(scope: Any, *_: Any) -> None:
        passed.append(scope["state"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    app = direct_answers(framework, Free(), found, BODY_BYTES, lambda value: value == b"localhost")
    usual, other = (b"host", b"localhost"), (b"host", host)
    for hosts, is_direct in (([other], False), ([usual], True), ([other], False)):
        for headers in (hosts, [*hosts, usual]):
            scope = {
                "type": "http",
                "path": "/predict",
                "method": "POST",
                "headers": [
                    *(*headers, (b"content-type", b"application/json")),
                    (b"content-length", b"2"),
                ],
                "state": {},
            }
            await app(cast("Any", scope), receive, cast("Any", not_called))
            # A direct answer was tried, and its error is for the framework to answer. What comes
            # twice is never usual.
            assert ("direct_error" in passed[-1]) is (is_direct and headers is hosts)


async def test_a_key_for_the_default_model_is_not_for_the_next_default() -> None:
    """The default may change while a body arrives: the model that was asked answers."""
    known = Principal(name="k", scopes=frozenset({Scope.PREDICT}), models=frozenset({"m"}))
    gate = Gate((), wants_keys=True)
    gate._remember(b"Bearer k", known)
    other = Deployed()
    other.name = "other"
    deployments = {"": Deployed(), "m": Deployed(), "other": other}
    asked: list[str] = []

    class Noting(Free):
        async def infer(self, *request: object) -> Any:
            asked.append(cast("Any", request[0]).name)
            raise LookupError

    async def receive() -> Any:
        deployments[""] = other
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def framework(*_: Any) -> None:
        pass

    app = direct_answers(framework, Noting(), deployments.get, BODY_BYTES, gate=gate)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    for _ in range(2):
        scope = {
            "type": "http",
            "path": "/predict",
            "method": "POST",
            "headers": [*headers, (b"authorization", b"Bearer k")],
            "state": {},
        }
        await app(cast("Any", scope), receive, cast("Any", not_called))
    # The second one is for a model that the key is not for.
    assert asked == ["m"]


async def test_a_model_that_is_flooded_lets_another_ones_requests_pass() -> None:
    """A thousand of its own wait, and what comes for the other one is behind a few of them."""
    noting = Noting()

    async def framework(*_: Any) -> None:
        """Answer what the direct way met."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    app = direct_answers(framework, noting, Deployed, BODY_BYTES)

    async def ask(name: str) -> None:
        scope = {
            "type": "http",
            "path": f"/models/{name}/predict",
            "method": "POST",
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
            "state": {},
        }
        await app(cast("Any", scope), receive, cast("Any", not_called))

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("calm"))
        for _ in range(1_000):
            group.create_task(ask("flooded"))
        await asyncio.sleep(0)
        for _ in range(10):
            before = len(noting.asked)
            await group.create_task(ask("calm"))
            assert noting.asked[before:].index("calm") <= 2 * TOGETHER
        assert len(noting.asked) < 1_000
    assert noting.asked.count("flooded") == 1_000
