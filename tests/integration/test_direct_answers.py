"""The usual request's way and the handler's give the same, whatever is asked and goes wrong."""

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.scrapes import read, total
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

LIMIT_BYTES = 2_000
FROM_THE_HANDLER = {
    "/predict": {"accept": "application/json, */*"},
    "/invocations": {"content-type": "application/json; charset=utf-8"},
    "infer": {"content-encoding": "identity"},
}
"""Words that the usual request of a protocol does not have."""
SPLIT = b'{"dataframe_split": {"columns": ["a"], "data": [[2.0], [%b]]}%b}'
TENSOR = (
    b'{"id": "7", "inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1, %b]}]%b}'
)
MANY = b"1," * 1_000
OWN_TIME_S, CAME_WITHIN_S = 0.1, 0.1
"""What a request gives itself, and how long its head takes to come on a busy machine."""

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
        models=f"tiny=models:/{name}@champion,absent=models:/{unique_name('absent')}@champion",
        default_model="tiny",
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
    handled = service.post("/predict", body, headers=FROM_THE_HANDLER["/predict"])
    assert told(direct) == told(handled)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/invocations", SPLIT % (b"3.5", b""), 200),
        ("/invocations", SPLIT % (b"null", b', "client_request_id": "\xc3\xa4 7"'), 200),
        ("/invocations", SPLIT % (b'"x"', b""), 400),
        ("/invocations", SPLIT % (b"1, 2", b""), 400),
        ("/invocations", SPLIT % (MANY, b""), 413),
        ("/models/tiny/invocations", SPLIT % (b"3.5", b""), 200),
        ("/serving-endpoints/nobody/invocations", SPLIT % (b"3.5", b""), 404),
        ("/v2/models/tiny/infer", TENSOR % (b"2.5", b""), 200),
        ("/v2/models/tiny/versions/1/infer", TENSOR % (b"2.5", b""), 200),
        ("/v2/models/tiny/versions/2/infer", TENSOR % (b"2.5", b""), 404),
        ("/v2/models/absent/infer", TENSOR % (b"2.5", b""), 503),
        ("/models/absent/invocations", SPLIT % (b"3.5", b""), 503),
        ("/v2/models/nobody/infer", TENSOR % (b"2.5", b""), 404),
        ("/v2/models/tiny/infer", TENSOR % (b'"x"', b""), 400),
        ("/v2/models/tiny/infer", TENSOR % (b"2.5", b', "outputs": [{"name": "z"}]'), 400),
        ("/v2/models/tiny/infer", TENSOR % (b"2.5", b', "parameters": {"timeout": -1}'), 400),
        ("/v2/models/tiny/infer", b"", 400),
        ("/v2/models/tiny/infer", TENSOR % (MANY, b""), 413),
    ],
)
def test_both_ways_of_other_protocols_tell_the_same(
    service: RunningService, path: str, body: bytes, status: int
) -> None:
    """Whatever it is, and in the protocol's own form."""
    unusual = FROM_THE_HANDLER["/invocations" if "invocations" in path else "infer"]
    direct = service.client.post(path, content=body, headers={"content-type": "application/json"})
    handled = service.client.post(
        path, content=body, headers={"content-type": "application/json"} | unusual
    )
    assert told(direct) == told(handled)
    assert direct.status_code == status


@pytest.mark.parametrize("accepted", ["gzip", "deflate", "identity", "br"])
def test_an_answer_is_compressed_the_same_by_both_ways(
    service: RunningService, accepted: str
) -> None:
    """Where it is large enough."""
    rows = 300
    tensor = {"name": "a", "shape": [rows], "datatype": "INT8", "data": [1] * rows}
    asked = {"inputs": [tensor]}
    headers = {"accept-encoding": accepted}
    path = "/v2/models/tiny/infer"
    direct = service.client.post(path, json=asked, headers=headers)
    handled = service.client.post(path, json=asked, headers=headers | FROM_THE_HANDLER["infer"])
    assert told(direct) == told(handled)
    is_known = accepted in {"gzip", "deflate"}
    assert direct.headers.get("content-encoding") == (accepted if is_known else None)
    assert direct.json()["outputs"][0]["data"] == [2.0] * rows


def test_a_request_that_gives_itself_no_time_is_told_so(service: RunningService) -> None:
    """Each protocol in its own form, by a header that they share."""
    hurried = {"x-request-timeout-ms": "1"}
    codes = {
        "/predict": (BODIES["one row"], {"type", "title", "status", "detail"}),
        "/invocations": (SPLIT % (b"3.5", b""), {"error_code", "message"}),
        "/v2/models/tiny/infer": (TENSOR % (b"2.5", b""), {"error"}),
    }
    for path, (body, form) in codes.items():
        answers = [service.post(path, body, headers=hurried) for _ in range(20)]
        late = [answer for answer in answers if answer.status_code != 200]
        assert all(answer.status_code in {503, 504} for answer in late)
        assert all(form <= answer.json().keys() for answer in late), path
        enough = service.post(path, body, headers={"x-request-timeout-ms": "60000"})
        assert enough.status_code == 200
        assert service.post(path, body, headers={"x-request-timeout-ms": "?"}).status_code == 400


def test_a_body_that_comes_too_late_for_its_requests_own_time(service: RunningService) -> None:
    """By each protocol: what is sent to its end after that is 504, and no worker is asked."""
    before = _batches(service)
    port = int(service.url.rpartition(":")[2])
    bodies = {
        "/predict": BODIES["one row"],
        "/invocations": SPLIT % (b"3.5", b""),
        "/v2/models/tiny/infer": TENSOR % (b"2.5", b""),
    }
    with contextlib.ExitStack() as open_ones:
        slow = []
        for path, body in bodies.items():
            raw = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            head = f"POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
            head += f"x-request-timeout-ms: {OWN_TIME_S * 1_000:.0f}\r\n"
            head += f"content-length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body[:5])
            slow.append((raw, body))
        over_s = time.monotonic() + OWN_TIME_S + CAME_WITHIN_S
        service.wait_until(lambda: time.monotonic() > over_s, "their time is over")
        for raw, body in slow:
            raw.sendall(body[5:])
            assert raw.recv(65_536).startswith(b"HTTP/1.1 504")
    assert _batches(service) == before


def _batches(service: RunningService) -> float:
    return total(read(service.get("/metrics").text), "hotswap_batches_total")


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
