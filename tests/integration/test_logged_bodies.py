"""No line of the log has what callers send, at any level; a model's own words are the exception."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from grpc import RpcError

from tests.support.grpc_caller import GrpcCaller, calling
from tests.support.inference_messages import request
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService

SENT = "a-value-4711"
JSON = "application/json"
A_ROW = {"a": 1.0, "do": SENT}
MAX_BODY_BYTES = 100_000
RAW_BODY_BYTES = 4_000
"""What is larger is read in a worker."""


@dataclass
class Logged:
    """The service, its log at its lowest level and the access log, and clients of it."""

    service: RunningService
    model: str
    grpc: GrpcCaller

    def telling(self) -> set[str]:
        """Return the events whose lines have what was sent."""
        return {str(line["event"]) for line in self.service.events() if SENT in json.dumps(line)}


@pytest.fixture(scope="module")
def logged(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    """Serve a model that takes texts, and may be told to raise with them."""
    name, port = unique_name("unruly"), free_port()
    mlflow_server.register_unruly(name)
    mlflow_server.set_alias(name, "champion", 1)
    started = running_service.start(
        tmp_path_factory.mktemp("logged"),
        mlflow_server.uri,
        model_uri=f"models:/{name}@champion",
        grpc_port=port,
        log_level="debug",
        access_log="on",
        max_body_bytes=MAX_BODY_BYTES,
        raw_body_bytes=RAW_BODY_BYTES,
        workers=1,
        probation_s=0,
    )
    with started as service, calling(f"127.0.0.1:{port}") as grpc:
        yield Logged(service, name, grpc)


def bodies() -> dict[str, tuple[int, str, Any, str]]:
    """Return requests that have it, each in another place: status, path, body, content type."""
    predict, scored, infer = "/predict", "/invocations", "/v2/models/{model}/infer"
    split = {"columns": ["a", "do"], "data": [[1.0, SENT]]}
    tensors = [
        {"name": "a", "datatype": "FP64", "shape": [1], "data": [1.0]},
        {"name": "do", "datatype": "BYTES", "shape": [1], "data": [SENT]},
    ]
    return {
        "answered": (200, predict, {"instances": [A_ROW]}, JSON),
        "answered by columns": (200, predict, {"columns": {"a": [1.0], "do": [SENT]}}, JSON),
        "of another type": (400, predict, {"instances": [{"a": SENT, "do": SENT}]}, JSON),
        "an unknown column": (200, predict, {"instances": [{**A_ROW, SENT: 1}]}, JSON),
        "an unknown field": (400, predict, {SENT: [A_ROW]}, JSON),
        "cut short": (400, predict, f'{{"instances": [{{"do": "{SENT}', JSON),
        "too large": (413, predict, f'"{SENT}{"x" * MAX_BODY_BYTES}"', JSON),
        "no JSON": (415, predict, SENT, "text/plain"),
        "no Arrow": (400, predict, SENT, "application/vnd.apache.arrow.stream"),
        "read in a worker": (200, predict, {"instances": [A_ROW] * 500}, JSON),
        "of another type, in a worker": (400, predict, {"instances": [{"do": SENT}] * 500}, JSON),
        "MLflow's": (200, scored, {"dataframe_split": split}, JSON),
        "MLflow's records": (200, scored, {"dataframe_records": [A_ROW]}, JSON),
        "MLflow's, refused": (
            400,
            scored,
            {"dataframe_split": {"columns": [SENT], "data": 1}},
            JSON,
        ),
        "CSV": (200, scored, f"a,do\n1.0,{SENT}\n", "text/csv"),
        "CSV, refused": (400, scored, f"a,do\n{SENT},{SENT}\n", "text/csv"),
        "tensors": (200, infer, {"id": SENT, "inputs": tensors}, JSON),
        "tensors, refused": (400, infer, {"inputs": [{**tensors[0], "data": [SENT]}]}, JSON),
        "parameters": (200, infer, {"inputs": tensors, "parameters": {SENT: SENT}}, JSON),
    }


@pytest.mark.parametrize(("status", "path", "body", "kind"), bodies().values(), ids=bodies().keys())
def test_no_line_has_what_was_sent(
    logged: Logged, status: int, path: str, body: Any, kind: str
) -> None:
    """Answered or not, wherever it stood in a body."""
    content = body if isinstance(body, str) else json.dumps(body)
    answer = httpx.post(
        logged.service.url + path.replace("{model}", logged.model),
        content=content,
        headers={"content-type": kind, "x-request-id": "sent-1"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == status, answer.text
    assert logged.telling() == set()


def test_no_line_has_what_was_sent_over_grpc(logged: Logged) -> None:
    """The same for a message."""
    messages: list[dict[str, list[Any]]] = [
        {"a": [1.0], "do": [SENT]},
        {"a": [1.0], SENT: [SENT]},
        {"a": [SENT]},
    ]
    for columns in messages:
        message = request(columns, raw=False, model_name=logged.model, id=SENT)
        try:
            logged.grpc("ModelInfer", message)
        except RpcError as error:
            assert error.code().name == "INVALID_ARGUMENT"  # noqa: PT017 - not each is refused
    assert logged.telling() == set()


def test_what_a_model_raises_is_logged_as_it_raised_it(logged: Logged) -> None:
    """Nobody could mend a model otherwise; docs/security.md says so."""
    assert logged.service.predict({"a": 1.0, "do": f"quote:{SENT}"}).status_code == 500
    assert logged.telling() == {"model raised"}
