"""The usual request's way and the handler's give the same, whatever is asked and goes wrong."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

LIMIT_BYTES = 2_000
FROM_THE_HANDLER = {"accept": "application/json, */*"}
"""In words that the usual request does not have."""

BODIES = {
    "one row": b'{"instances": [{"a": 2.0}]}',
    "several rows": b'{"instances": [{"a": 1}, {"a": 2.5}]}',
    "columns": b'{"columns": {"a": [1, 2.5]}}',
    "columns and rows": b'{"columns": {"a": [1]}, "instances": [{"a": 1}]}',
    "a wrong type in a column": b'{"columns": {"a": [1, "x"]}}',
    "no JSON": b'{"instances": [',
    "nothing": b"",
    "a wrong type": b'{"instances": [{"a": 1}, {"a": "x"}]}',
    "no rows": b'{"instances": []}',
    "not UTF-8": b'{"instances": [{"a": "\xff"}]}',
    "too large": b'{"instances": [' + b'{"a": 1},' * 300 + b'{"a": 1}]}',
}


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve the tiny model, with a small limit for bodies."""
    name = unique_name("direct")
    mlflow_server.register_tiny(name, 2.0)
    mlflow_server.set_alias(name, "champion", 1)
    with running_service.start(
        tmp_path_factory.mktemp("direct"),
        mlflow_server.uri,
        model_uri=f"models:/{name}@champion",
        max_body_bytes=LIMIT_BYTES,
    ) as running:
        yield running


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Return what a caller sees, but for what is another each time."""
    headers = {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id"}}
    assert answer.headers["x-request-id"]
    return answer.status_code, answer.content, headers


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_both_ways_tell_the_same(service: RunningService, body: bytes) -> None:
    """Status, body and headers are equal to the byte."""
    direct = service.post("/predict", body)
    handled = service.post("/predict", body, headers=FROM_THE_HANDLER)
    assert told(direct) == told(handled)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "text/csv"}, 415),
        ({"accept": "*/*"}, 200),
        ({"accept": "text/html"}, 406),
    ],
)
def test_unusual_words_are_understood(
    service: RunningService, headers: dict[str, str], status: int
) -> None:
    """What the direct way leaves alone is answered by the handler."""
    assert service.post("/predict", BODIES["one row"], headers=headers).status_code == status


def test_a_body_in_chunks_is_answered(service: RunningService) -> None:
    """Its length is not known before its end, and the limit holds all the same."""

    def chunks(*parts: bytes) -> Iterator[bytes]:
        yield from parts

    headers = {"content-type": "application/json"}
    whole = BODIES["one row"]
    answer = service.client.post("/predict", content=chunks(whole[:5], whole[5:]), headers=headers)
    assert answer.json()["predictions"] == [{"y": 4.0}]
    large = service.client.post("/predict", content=chunks(BODIES["too large"]), headers=headers)
    assert large.status_code == 413


def test_other_methods_are_the_frameworks(service: RunningService) -> None:
    """405 and OPTIONS say which are allowed, and the schema describes the call."""
    assert service.get("/predict").status_code == 405
    allowed = service.client.options("/predict")
    assert sorted(allowed.headers["allow"].split(", ")) == ["OPTIONS", "POST"]
    schema: dict[str, Any] = service.get("/schema/openapi.json").json()
    described = schema["paths"]["/predict"]["post"]
    assert {"200", "400", "413", "415", "500", "503", "504"} <= described["responses"].keys()
    assert "application/json" in described["requestBody"]["content"]
