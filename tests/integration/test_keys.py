"""A live service that wants keys: what each opens, in every protocol, and what nothing opens."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from litestar.routes import HTTPRoute

from service.access.keys_file import add_key, revoke_key
from service.access.principal import Permission, Scope
from service.app import create_app
from service.deployments import Deployments
from service.handlers.permissions import PERMISSION
from service.settings.environment import load_settings
from tests.support.grpc_caller import GrpcCaller, calling
from tests.support.inference_messages import request as infer_message
from tests.support.keyed import KEYS
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService, start

ONE, OTHER = "one", "kept-from-view"
"""The default model, and one that some keys may not know of."""
ALL_SCOPES = tuple(Scope)
CHANGING = re.compile(r"/(reload-model|reload|pin)$")
SHORT = {"x-request-timeout-ms": "500"}
"""Streams of events end then, which would go on for a minute."""


class Guarded(NamedTuple):
    """A service of two models, its file of keys, and the keys by their names."""

    service: RunningService
    file: Path
    keys: dict[str, str]
    grpc_address: str
    registered: str
    """The registered model behind the one that is kept from view."""

    def bearer(self, name: str) -> dict[str, str]:
        """Return the header that brings a key."""
        return {"authorization": f"Bearer {self.keys[name]}"}

    def get(self, path: str, name: str = "") -> httpx.Response:
        """Call with GET, with a key or without."""
        return self.service.client.get(path, headers=self.bearer(name) if name else {})

    def predict(self, model: str = "", name: str = "", **headers: str) -> httpx.Response:
        """Ask for a prediction, with a key or without."""
        path = f"/models/{model}/predict" if model else "/predict"
        headers |= self.bearer(name) if name else {}
        return self.service.post(path, {"instances": [{"a": 1.0}]}, headers=headers)

    def metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the metadata that brings a key."""
        return tuple(self.bearer(name).items())


@pytest.fixture(scope="module")
def guarded(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """Serve two models to those with a key."""
    folder = tmp_path_factory.mktemp("guarded")
    registered = {ONE: unique_name("one"), OTHER: unique_name("kept-secret")}
    for name in registered.values():
        mlflow_server.register_tiny(name, 2.0)
        mlflow_server.set_alias(name, "champion", 1)
    file, port = folder / "keys.json", free_port()
    keys = {
        name: add_key(file, name, scopes, models and tuple(_named(models)))
        for name, (scopes, models) in KEYS.items()
    }
    keys["all-of-one"] = add_key(file, "all-of-one", ALL_SCOPES, (ONE,))
    with start(
        folder,
        mlflow_server.uri,
        models=",".join(f"{name}=models:/{of}@champion" for name, of in registered.items()),
        default_model=ONE,
        ready_when="all",
        api_keys_file=file,
        grpc_port=port,
    ) as service:
        yield Guarded(service, file, keys, f"127.0.0.1:{port}", registered[OTHER])


def _named(models: tuple[str, ...]) -> Iterator[str]:
    for model in models:
        yield ONE if model == "one" else OTHER


def routes(guarded: Guarded) -> Iterator[tuple[str, str, Permission]]:
    """Yield the method, the path and the permission of each route that such a service has."""
    folder = guarded.file.parent / "again"
    settings = {"CACHE_DIR": str(folder), "API_KEYS_FILE": str(guarded.file)}
    for route in create_app(Deployments(load_settings(settings))).routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                yield method, route.path, handler.opt[PERMISSION]


def test_each_scope_opens_what_it_is_for(guarded: Guarded) -> None:
    """Every route, asked with a key of each scope: 403 or not, and never 401."""
    client = guarded.service.client
    asked = 0
    for method, path, permission in routes(guarded):
        if CHANGING.search(path) or permission in {Permission.OPEN, Permission.HEALTH}:
            continue
        filled = path.replace("{name:str}", ONE).replace("{version:str}", "1")
        for name, may in (
            ("predicts", permission in {Permission.ANY, Permission.PREDICT}),
            ("reads", permission in {Permission.ANY, Permission.READ}),
            ("administers", True),
        ):
            answer = client.request(method, filled, headers=guarded.bearer(name) | SHORT)
            assert (method, path, name, answer.status_code not in {401, 403}) == (
                *(method, path, name),
                may,
            ), answer.text
            asked += 1
    assert asked > 60


def test_changes_want_the_scope_admin(guarded: Guarded) -> None:
    """From this machine as well, and by the command that operators have."""
    client = guarded.service.client
    for name in ("", "predicts", "reads"):
        for method, path in (
            ("POST", "/reload-model"),
            ("POST", f"/models/{ONE}/reload"),
            ("POST", f"/models/{ONE}/pin"),
            ("DELETE", "/model/pin"),
        ):
            headers = guarded.bearer(name) if name else {}
            answer = client.request(method, path, json={"version": "1"}, headers=headers)
            assert answer.status_code == (403 if name else 401)
    refused = guarded.service.hotswap("pin", "1", hotswap_key=guarded.keys["reads"])
    assert (refused.returncode, "wants admin" in refused.stderr) == (1, True), refused.stderr
    for command in (("pin", "1"), ("unpin",)):
        done = guarded.service.hotswap(*command, hotswap_key=guarded.keys["administers"])
        assert done.returncode == 0, done.stderr
    told = [
        event for event in guarded.service.events() if event.get("event") == "an operator calls"
    ]
    assert {event["key"] for event in told} == {"administers"}


def test_status_sends_a_key_and_says_when_one_is_wanted(guarded: Guarded) -> None:
    """What it shows are the models that the key is for."""
    shown = guarded.service.hotswap("status", "--json", hotswap_key=guarded.keys["reads"])
    assert shown.returncode == 0, shown.stdout
    assert {one["name"] for one in json.loads(shown.stdout)["models"]} == {ONE, OTHER}
    shown = guarded.service.hotswap("status", "--json", hotswap_key=guarded.keys["reads-other"])
    assert {one["name"] for one in json.loads(shown.stdout)["models"]} == {OTHER}
    for key in ("", guarded.keys["predicts"]):
        shown = guarded.service.hotswap("status", "--json", hotswap_key=key)
        assert shown.returncode == 2
        assert "HOTSWAP_KEY" in json.loads(shown.stdout)["error"]


def test_a_model_that_a_key_is_not_for_does_not_show(guarded: Guarded) -> None:
    """No answer of any route names it, to a key for another model and to none."""
    client = guarded.service.client
    for name in ("all-of-one", ""):
        headers = (guarded.bearer(name) if name else {}) | SHORT
        for method, path, _ in routes(guarded):
            for model in (ONE, "no-such-model"):
                filled = path.replace("{name:str}", model).replace("{version:str}", "2")
                answer = client.request(method, filled, headers=headers)
                said = answer.text + str(answer.headers)
                for hidden in (OTHER, guarded.registered):
                    assert hidden not in said, (method, filled)
    with calling(guarded.grpc_address) as call:
        key = guarded.metadata("all-of-one")
        index = call("RepositoryIndex", metadata=key)
        assert [one.name for one in index.models] == [ONE]
        counted = call("ModelStatistics", metadata=key)
        assert [one.name for one in counted.model_stats] == [ONE]
    listed = guarded.get("/models", "reads").json()
    assert {one["name"] for one in listed["models"]} == {ONE, OTHER}
    listed = guarded.get("/models", "reads-other").json()
    assert ({one["name"] for one in listed["models"]}, listed["default"]) == ({OTHER}, None)


def test_probes_need_no_key_and_are_told_no_more_than_they_need(guarded: Guarded) -> None:
    """A key with the scope `read` is told the rest; a wrong one is as none."""
    for path in ("/health", "/health/ready"):
        wrong = guarded.service.client.get(path, headers={"authorization": "Bearer hsk_wrong"})
        for answer in (guarded.get(path), wrong, guarded.get(path, "predicts")):
            assert answer.status_code == 200
            assert answer.json() == {"status": "healthy", "model_loaded": True}
        assert set(guarded.get(path, "reads").json()["models"]) == {ONE, OTHER}
        assert set(guarded.get(path, "reads-other").json()["models"]) == {OTHER}
    for path in ("/health/live", "/ping", "/v2/health/live", "/v2/health/ready"):
        assert guarded.get(path).status_code == 200
    with calling(guarded.grpc_address) as call:
        assert call("ServerLive").live
        assert call("ServerReady").ready
        assert health(call, "") == "SERVING"
        assert health(call, ONE) == "UNAUTHENTICATED"
        assert health(call, ONE, guarded.metadata("predicts")) == "SERVING"
        assert health(call, OTHER, guarded.metadata("predicts-one")) == "PERMISSION_DENIED"
        assert health(call, "none", guarded.metadata("predicts-one")) == "PERMISSION_DENIED"


def health(call: GrpcCaller, service: str, metadata: Any = ()) -> str:
    """Return what a check over gRPC answers, or how it ends."""
    check = call.channel.unary_unary("/grpc.health.v1.Health/Check")
    message = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    try:
        answer = check(message, metadata=metadata, timeout=60)
    except grpc.RpcError as error:
        return str(error.code().name)
    status = health_pb2.HealthCheckResponse.FromString(answer).status
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


def test_each_protocol_says_it_in_its_own_form(guarded: Guarded) -> None:
    """401 and 403, with a challenge that says which scope would do."""
    client = guarded.service.client
    body = b'{"instances": [{"a": 1.0}]}'
    for path, read, of_401, of_403 in (
        ("/predict", "type", "unauthorized", "permission-denied"),
        ("/invocations", "error_code", "UNAUTHENTICATED", "PERMISSION_DENIED"),
        (f"/v2/models/{ONE}/infer", "error", "a key is wanted", "has no scope"),
    ):
        missing = client.post(path, content=body, headers={"content-type": "application/json"})
        denied = client.post(
            path,
            content=body,
            headers={"content-type": "application/json", **guarded.bearer("reads")},
        )
        assert (missing.status_code, denied.status_code) == (401, 403)
        assert of_401 in missing.json()[read]
        assert of_403 in denied.json()[read]
        assert missing.headers["www-authenticate"] == "Bearer"
        assert denied.headers["www-authenticate"] == (
            'Bearer error="insufficient_scope", scope="predict"'
        )
    with calling(guarded.grpc_address) as call:
        message = infer_message({"a": [1.0]}, raw=True, model_name=ONE)
        code, sentence = call.refused("ModelInfer", message)
        assert (code, "a key is wanted" in sentence) == ("UNAUTHENTICATED", True)
        for name in ("reads", "predicts-other"):
            code, _ = call.refused("ModelInfer", message, metadata=guarded.metadata(name))
            assert code == "PERMISSION_DENIED"
        answer = call("ModelInfer", message, metadata=guarded.metadata("predicts-one"))
        assert answer.model_version == "1"


def test_a_revoked_key_opens_nothing_within_seconds_and_a_new_one_does(guarded: Guarded) -> None:
    """On a connection that is open, on the direct way, and over gRPC."""
    key = add_key(guarded.file, "passing", ALL_SCOPES, None)
    header = {"authorization": f"Bearer {key}"}
    guarded.service.wait_until(
        lambda: guarded.predict(**header).status_code == 200, "the new key is known", 10
    )
    with calling(guarded.grpc_address) as call:
        metadata = tuple(header.items())
        assert call("RepositoryIndex", metadata=metadata).models
        revoke_key(guarded.file, "passing")
        guarded.service.wait_until(
            lambda: guarded.predict(**header).status_code == 401, "it is revoked", 10
        )
        assert call.refused("RepositoryIndex", metadata=metadata)[0] == "UNAUTHENTICATED"
    assert guarded.predict(name="predicts").status_code == 200


def test_a_broken_file_leaves_the_keys_that_were_and_is_said(guarded: Guarded) -> None:
    """It opens nothing; the log and `/health` say so until it is mended."""
    good = guarded.file.read_bytes()

    def degraded() -> str:
        return str(guarded.get("/health", "reads").json()["degraded"])

    for broken in (b'{"keys": [', b'{"keys": [{"name": "a"}]}', b""):
        guarded.file.write_bytes(broken)
        guarded.service.wait_until(lambda: "API_KEYS_FILE" in degraded(), "it is said", 10)
        assert guarded.predict(name="predicts").status_code == 200
        assert guarded.predict().status_code == 401
    guarded.file.write_bytes(good)
    guarded.service.wait_until(lambda: degraded() == "None", "it is well again", 10)
    events = [event.get("event") for event in guarded.service.events()]
    assert "API_KEYS_FILE is not in force" in events


def test_no_key_is_in_the_log_or_an_answer(guarded: Guarded) -> None:
    """Not a right one, and not what was sent as one."""
    sent = "hsk_" + "x" * 43
    answer = guarded.predict(authorization=f"Bearer {sent}")
    assert answer.status_code == 401
    said = guarded.service.log.read_text() + answer.text + str(answer.headers)
    for key in (sent, *guarded.keys.values()):
        assert key not in said


# -- attacks ------------------------------------------------------------------------------------


def raw(guarded: Guarded, head: bytes, path: bytes = b"/predict") -> int:
    """Send a request with these lines in its head; return the status of the answer."""
    host, port = guarded.service.url.removeprefix("http://").split(":")
    body = b'{"instances": [{"a": 1.0}]}'
    lines = (
        *(b"POST " + path + b" HTTP/1.1", b"host: 127.0.0.1", b"connection: close"),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n" + head + b"\r\n" + body)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert b"predictions" not in answer or b" 200 " in answer.partition(b"\r\n")[0]
    return int(answer.split()[1])


def test_no_spelling_of_a_header_lets_a_wrong_key_in(guarded: Guarded) -> None:
    """Twice, beside a right one, folded, with odd bytes, huge, in the query, in another header."""
    right = guarded.keys["predicts"].encode()
    assert raw(guarded, b"authorization: Bearer " + right + b"\r\n") == 200
    assert raw(guarded, b"AUTHORIZATION: bEaReR   " + right + b"  \r\n") == 200
    heads = (
        b"authorization: Bearer " + right + b"\r\nauthorization: Bearer " + right + b"\r\n",
        b"authorization: Bearer wrong\r\nauthorization: Bearer " + right + b"\r\n",
        b"authorization: Bearer " + right + b"\r\nAuthorization: Bearer wrong\r\n",
        b"authorization: Bearer wrong, Bearer " + right + b"\r\n",
        b"authorization: Bearer " + right + b",\r\n",
        b"authorization: Bearer\xa0" + right + b"\r\n",
        b"authorization: Bearer " + right + b"\xff\r\n",
        b"authorization: Bearer\r\n " + right + b"\r\n",
        b"authorization: Basic " + right + b"\r\n",
        b"authorization: " + right + b"\r\n",
        b"authorization : Bearer " + right + b"\r\n",
        b"authorization: Bearer " + right.upper() + b"\r\n",
        b"authorization: Bearer " + right[:-1] + b"\r\n",
        b"authorization: Bearer " + right + b"A\r\n",
        b"authorization: Bearer " + b"a" * 60_000 + b"\r\n",
        b"authorization:\r\n",
        b"proxy-authorization: Bearer " + right + b"\r\n",
        b"x-api-key: " + right + b"\r\n",
        b"cookie: authorization=Bearer " + right + b"\r\n",
        b"",
    )
    # Together: each waits for its answer.
    with ThreadPoolExecutor(len(heads)) as threads:
        answers = threads.map(lambda head: raw(guarded, head), heads)
        for head, status in zip(heads, answers, strict=True):
            assert status in {400, 401, 413, 431}, head
    for query in (b"?access_token=", b"?authorization=Bearer%20", b"?key="):
        assert raw(guarded, b"", b"/predict" + query + right) == 401


def test_no_spelling_of_a_path_reaches_a_model_that_a_key_is_not_for(guarded: Guarded) -> None:
    """Encoded, doubled, dotted, by a version, by the default, by other clients' paths."""
    head = b"authorization: Bearer " + guarded.keys["predicts-one"].encode() + b"\r\n"
    other = OTHER.encode()
    encoded = b"".join(b"%%%02x" % byte for byte in other)
    assert raw(guarded, head, b"/models/" + ONE.encode() + b"/predict") == 200
    assert raw(guarded, head, b"/models/%6fne/predict") == 200
    for path in (
        b"/models/" + other + b"/predict",
        b"/models/" + encoded + b"/predict",
        b"/models/" + other + b"/predict/",
        b"//models/" + other + b"/predict",
        b"/models//" + other + b"/predict",
        b"/models/one/../" + other + b"/predict",
        b"/models/one%2f..%2f" + other + b"/predict",
        b"/models/one/predict/../../" + other + b"/predict",
        b"/models/" + other + b"%00/predict",
        b"/models/" + other + b";one/predict",
        b"/models/" + other + b"?name=one/predict",
        b"/models/" + other + b"/predict?name=one",
        b"/models/" + other.upper() + b"/predict",
        b"/models/" + other + b"%20/predict",
        b"/models/" + other + b"/invocations",
        b"/endpoints/" + other + b"/invocations",
        b"/serving-endpoints/" + encoded + b"/invocations",
        b"/v2/models/" + other + b"/infer",
        b"/v2/models/" + other + b"/versions/1/infer",
        b"/v2/models/one/versions/../../" + other + b"/infer",
        b"http://127.0.0.1/models/" + other + b"/predict",
    ):
        assert raw(guarded, head, path) in {400, 403, 404, 405}, path
    other_key = b"authorization: Bearer " + guarded.keys["predicts-other"].encode() + b"\r\n"
    for path in (b"/predict", b"/invocations"):
        assert raw(guarded, other_key, path) == 403
