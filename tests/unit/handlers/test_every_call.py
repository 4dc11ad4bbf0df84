"""Every route and every RPC has a scope and metrics; those that ask a model have a deadline too.

A new one is found by walking what the application and the server of gRPC really have, and has to be
added here where it is open, or asks for predictions in a way of its own.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import grpc
import pytest
from litestar.routes import HTTPRoute

from service.access import failed_attempts
from service.access.principal import Permission
from service.handlers.grpc import server as grpc_server
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from service.handlers.grpc.server import PERMISSIONS, GrpcServer
from service.handlers.permissions import PERMISSION
from tests.support.fake_workers import HANGING
from tests.support.inference_messages import request as infer_message
from tests.support.keyed import KEYS, MODEL, OTHER, Keyed, keyed
from tests.support.scrapes import read, total

OPEN = {
    "/docs",
    "/docs/{name}",
    "/health/live",
    "/ping",
    "/ui/:files/{mark}/{name}",
    # It wants a key in its body, or ends a session.
    "/ui/:session",
    "/v2/health/live",
    # It wants a signature.
    "/webhooks/mlflow",
}
"""The routes that want nothing of a caller. The page of `/docs` says nothing of any model, nor do
the scripts and styles of any page."""
HEALTH = {"/health", "/health/ready", "/v2/health/ready"}
OPEN_RPCS = {"ServerLive", "ServerReady"}
HEALTH_RPCS = {"Check", "Watch"}
BODIES: dict[str, Callable[[float], Any]] = {
    "predict": lambda value: {"instances": [{"a": value}]},
    "invocations": lambda value: {"dataframe_records": [{"a": value}]},
    "infer": lambda value: {
        "inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": [value]}]
    },
}
"""A body for one row, by the last part of the path that takes it."""
LIMIT_MS = 50
SOON_S = 10.0
ANSWERED = ("hotswap_http_requests_total", "status=200")


class Route(NamedTuple):
    """A method of a path, and what it wants."""

    method: str
    path: str
    permission: Permission | None

    def named(self, model: str) -> str:
        """Return the path with a model's name, and the version that serves."""
        return self.path.replace("{name}", model).replace("{version}", "7")


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a wrong key wait no longer than it must here."""
    monkeypatch.setattr(failed_attempts, "DELAY_S", 0.001)


def routes_of(service: Keyed) -> Iterator[Route]:
    """Yield every route of the application but the framework's own OPTIONS."""
    for route in service.app.routes:
        assert isinstance(route, HTTPRoute), "how is this one guarded?"
        path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                yield Route(method, path, handler.opt.get(PERMISSION))


async def test_every_route_says_what_it_wants_and_gets_it(tmp_path: Path) -> None:
    """Without a key each is 401 in its protocol's form, but for probes and the page of `/docs`."""
    async with keyed(tmp_path) as service:
        routes = list(routes_of(service))
        assert len(routes) > 40
        for route in routes:
            assert isinstance(route.permission, Permission), f"{route} says no {PERMISSION!r}"
            expected = (
                Permission.OPEN
                if route.path in OPEN
                else Permission.HEALTH
                if route.path in HEALTH
                else None
            )
            if expected:
                assert route.permission is expected, route
                continue
            assert route.permission not in {Permission.OPEN, Permission.HEALTH}, route
            for headers in ({}, {"authorization": "Bearer hsk_unknown"}):
                answer = await service.client.request(
                    route.method, route.named(MODEL), headers=headers
                )
                assert (route, answer.status_code) == (route, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["x-request-id"]
            options = await service.client.options(route.named(MODEL))
            assert (options.status_code, route.method in options.headers["allow"]) == (204, True)
            # Nobody learns without a key which models there are.
            stranger = await service.client.request(route.method, route.named("no-such-model"))
            assert (route, stranger.status_code) == (route, 401)


async def test_a_route_without_a_scope_wants_admin(tmp_path: Path) -> None:
    """What somebody forgot is closed, not open."""
    async with keyed(tmp_path) as service:
        handler = next(
            handler
            for route in service.app.routes
            if isinstance(route, HTTPRoute) and route.path == "/models"
            for handler in route.route_handlers
            if "GET" in handler.http_methods
        )
        del handler.opt[PERMISSION]
        for name in KEYS:
            answer = await service.client.get("/models", headers=service.bearer(name))
            assert (answer.status_code == 403) is (name != "administers"), name


def predicting(service: Keyed) -> Iterator[Route]:
    """Yield the routes that ask for predictions."""
    found = [one for one in routes_of(service) if one.permission is Permission.PREDICT]
    assert len(found) >= 8
    yield from found


async def ask(service: Keyed, path: str, value: float, *, usual: bool, **headers: str) -> Any:
    """Ask for a prediction, in a way that is answered directly or one that is not."""
    last = path.rpartition("/")[2]
    assert last in BODIES, f"how is {path} asked? Say so in BODIES"
    given = [("content-type", "application/json"), *headers.items()]
    if not usual:
        # What comes twice is for the handler to understand.
        given += [("x-request-id", "a"), ("x-request-id", "a")]
    body = json.dumps(BODIES[last](value)).encode()
    given = [(name.replace("_", "-"), value) for name, value in given]
    return await service.client.post(path, content=body, headers=given)


@pytest.mark.parametrize("usual", [True, False])
async def test_every_way_to_a_prediction_wants_the_scope_and_the_model(
    tmp_path: Path, *, usual: bool
) -> None:
    """On the direct way as on the other; a second call, which is remembered, as the first."""
    async with keyed(tmp_path) as service:
        for route in predicting(service):
            path = route.named(MODEL)
            for name, status in (
                ("predicts", 200),
                ("predicts-one", 200),
                ("administers", 200),
                ("predicts-other", 403),
                ("reads", 403),
            ):
                for _ in range(2):
                    header = service.bearer(name)["authorization"]
                    answer = await ask(service, path, 1.0, usual=usual, authorization=header)
                    assert (path, name, answer.status_code) == (path, name, status), answer.text
                    if status == 403:
                        assert "insufficient_scope" in answer.headers["www-authenticate"]
                        # Nothing of the model was learnt.
                        assert "x-model-name" not in answer.headers
            if path != route.path:
                # A model that there is not looks like one that it may not use.
                header = service.bearer("predicts-one")["authorization"]
                answers = [
                    await ask(service, route.named(other), 1.0, usual=usual, authorization=header)
                    for other in (OTHER, "xxxxx")
                ]
                assert [answer.status_code for answer in answers] == [403, 403]
                assert answers[0].text.replace(OTHER, "xxxxx") == answers[1].text


async def total_of(service: Keyed, metric: str, *labels: str) -> float:
    """Return the sum of a metric's series that have these labels."""
    header = service.bearer("reads")
    text = (await service.client.get("/metrics", headers=header)).raise_for_status().text
    return total(read(text), metric, *labels)


async def count(service: Keyed, outcome: str) -> float:
    """Return how many requests to the model had this outcome."""
    labels = (f"model={MODEL}", f"outcome={outcome}")
    return await total_of(service, "hotswap_requests_total", *labels)


async def test_every_route_is_counted(tmp_path: Path) -> None:
    """By its pattern and what came of it, also where nothing but a key is wanted."""
    async with keyed(tmp_path) as service:
        made: Counter[tuple[str, int]] = Counter()
        for route in routes_of(service):
            if route.path == "/metrics":
                continue
            answer = await service.client.request(route.method, route.named(MODEL))
            made[route.path, answer.status_code] += 1
        for path in ("/no-such-path", "/another?with=a-query", "/models/m/no-such-call"):
            answer = await service.client.get(path)
            made["", answer.status_code] += 1
        for (path, status), calls in made.items():
            labels = (f"route={path}", f"status={status}")
            counted = await total_of(service, "hotswap_http_requests_total", *labels)
            assert (path, status, counted) == (path, status, calls)


@pytest.mark.parametrize("usual", [True, False])
async def test_every_way_to_a_prediction_has_metrics_and_a_deadline(
    tmp_path: Path, *, usual: bool
) -> None:
    """It is counted, and given up when its caller's time is over."""
    async with keyed(tmp_path) as service:
        header = service.bearer("predicts")["authorization"]
        for route in predicting(service):
            before = await count(service, "ok")
            seen = await total_of(service, *ANSWERED, f"route={route.path}")
            answer = await ask(service, route.named(MODEL), 1.0, usual=usual, authorization=header)
            assert answer.status_code == 200, route
            assert await count(service, "ok") == before + 1, f"{route} is not counted"
            assert await total_of(service, *ANSWERED, f"route={route.path}") == seen + 1, route
        for route in predicting(service):
            before = await count(service, "refused")
            answer = await ask(
                *(service, route.named(MODEL), HANGING),
                usual=usual,
                authorization=header,
                x_request_timeout_ms=str(LIMIT_MS),
            )
            # 503 where it is told from its head that it would come too late.
            assert answer.status_code in {503, 504}, f"{route} has no deadline: {answer.text}"
            assert await count(service, "refused") == before + 1, f"{route} is not counted"


# -- gRPC ---------------------------------------------------------------------------------------


class Rpc(NamedTuple):
    """A call of gRPC's."""

    service: str
    name: str
    handler: Any

    def call(self, channel: grpc.aio.Channel, message: bytes, key: str = "") -> Any:
        """Make it with these bytes."""
        path = f"/{self.service}/{self.name}"
        metadata = (("authorization", f"Bearer {key}"),) if key else ()
        if self.handler.response_streaming:
            return self._first(channel.stream_stream(path)(iter([message]), metadata=metadata))
        return channel.unary_unary(path)(message, metadata=metadata, timeout=10)

    @staticmethod
    async def _first(call: Any) -> Any:
        async for answer in call:
            call.cancel()
            return answer
        raise AssertionError("it ended without an answer")


@pytest.fixture
def rpcs(monkeypatch: pytest.MonkeyPatch) -> list[Rpc]:
    """Return what servers of gRPC register from here on."""
    found: list[Rpc] = []
    add = GrpcServer._add

    def adding(self: GrpcServer, server: Any, service: str, handlers: dict[str, Any]) -> None:
        found.extend(Rpc(service, name, handler) for name, handler in handlers.items())
        add(self, server, service, handlers)

    monkeypatch.setattr(GrpcServer, "_add", adding)
    return found


@asynccontextmanager
async def calling(service: Keyed) -> AsyncIterator[grpc.aio.Channel]:
    """Serve gRPC, and give a channel to it."""
    port = service.app.state.settings.grpc_port
    options = [("grpc.enable_http_proxy", 0)]
    async with (
        service.app.state.grpc.running(5.0),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel,
    ):
        yield channel


async def status_of(call: Any) -> str:
    """Return how a call ends."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def test_every_rpc_says_what_it_wants_and_gets_it(rpcs: list[Rpc], tmp_path: Path) -> None:
    """Without a key UNAUTHENTICATED, but for what probes ask."""
    async with keyed(tmp_path) as service, calling(service) as channel:
        assert {rpc.name for rpc in rpcs} == set(PERMISSIONS)
        protocol = {method.name for method in grpc_server._PROTOCOL.methods}
        assert protocol <= {rpc.name for rpc in rpcs}
        for rpc in rpcs:
            permission = PERMISSIONS[rpc.name]
            is_open = rpc.name in OPEN_RPCS | HEALTH_RPCS
            assert (permission in {Permission.OPEN, Permission.HEALTH}) is is_open, rpc.name
            for key in ("", "hsk_unknown"):
                status = await status_of(rpc.call(channel, b"", key))
                if is_open:
                    # The models of this test have no readiness to tell.
                    assert status in {"OK", "INTERNAL"}, rpc.name
                else:
                    assert status == "UNAUTHENTICATED", rpc.name
            method = f"method=/{rpc.service}/{rpc.name}"
            # A stream ends a moment later than its caller thinks.
            with anyio.fail_after(SOON_S):
                while await total_of(service, "hotswap_grpc_calls_total", method) != 2:  # noqa: ASYNC110 - there is no event to wait for
                    await anyio.sleep(0.01)
            reads = await status_of(rpc.call(channel, b"", service.keys["reads"]))
            assert (reads == "PERMISSION_DENIED") is (permission is Permission.PREDICT), rpc.name


async def test_an_rpc_for_predictions_wants_the_model_and_has_metrics_and_a_deadline(
    rpcs: list[Rpc], tmp_path: Path
) -> None:
    """Each that wants the scope `predict`; a new one says here how it is asked."""
    async with keyed(tmp_path) as service, calling(service) as channel:
        asking = [rpc for rpc in rpcs if PERMISSIONS[rpc.name] is Permission.PREDICT]
        assert [rpc.name for rpc in asking] == ["ModelInfer"]
        for rpc in asking:
            for key, model, status in (
                ("predicts", MODEL, "OK"),
                ("predicts", "", "OK"),
                ("predicts-one", "", "OK"),
                ("predicts-other", MODEL, "PERMISSION_DENIED"),
                ("predicts-other", "", "PERMISSION_DENIED"),
                ("predicts-other", OTHER, "OK"),
                ("predicts-other", "no-such-model", "PERMISSION_DENIED"),
                ("predicts", "no-such-model", "NOT_FOUND"),
            ):
                message = infer_message({"a": [1.0]}, raw=True, model_name=model)
                found = await status_of(rpc.call(channel, message, service.keys[key]))
                assert (key, model, found) == (key, model, status)
            assert await count(service, "ok") == 3
            late = ModelInferRequest.FromString(
                infer_message({"a": [HANGING]}, raw=True, model_name=MODEL)
            )
            late.parameters["timeout"].int64_param = LIMIT_MS * 1_000
            message = late.SerializeToString()
            found = await status_of(rpc.call(channel, message, service.keys["predicts"]))
            assert found in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
            assert await count(service, "refused") == 1


async def test_no_metadata_lets_a_wrong_key_in(rpcs: list[Rpc], tmp_path: Path) -> None:
    """Twice, beside a right one, under another name, as bytes, without its scheme."""
    async with keyed(tmp_path) as service, calling(service) as channel:
        infer = channel.unary_unary(f"/{rpcs[0].service}/ModelInfer")
        message = infer_message({"a": [1.0]}, raw=True, model_name=MODEL)
        right = service.bearer("predicts")["authorization"]
        for metadata in (
            (("authorization", right), ("authorization", right)),
            (("authorization", "Bearer wrong"), ("authorization", right)),
            (("authorization", right), ("authorization", "Bearer wrong")),
            (("authorization-bin", right.encode()),),
            (("x-authorization", right),),
            (("authorization", service.keys["predicts"]),),
            (("authorization", f"{right},"),),
            (("authorization", ""),),
        ):
            found = await status_of(infer(message, metadata=metadata, timeout=10))
            assert (metadata, found) == (metadata, "UNAUTHENTICATED")
        lower = (("authorization", right.replace("Bearer", "bearer")),)
        assert await status_of(infer(message, metadata=lower, timeout=10)) == "OK"
