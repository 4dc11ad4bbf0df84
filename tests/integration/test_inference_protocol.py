"""The Open Inference Protocol over REST, against a live service, request by request."""

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from service.codecs.inference.datatypes import datatype_of
from tests.support.guide import Guide
from tests.support.inference_bodies import packed, tensor, values_in

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def model(guide: Guide) -> str:
    """Return the path of the guide's model."""
    (only,) = guide.service.get("/models").json()["models"]
    return f"/v2/models/{only['name']}"


def tensors(guide: Guide, rows: int, *, wide: bool = False) -> list[dict[str, Any]]:
    """Return the first months, a column a tensor."""
    shape = [rows, 1] if wide else [rows]
    inputs = guide.service.info()["serving"]["signature"]["inputs"]
    return [
        tensor(
            spec["name"],
            datatype_of(spec["type"]),
            shape,
            guide.months[spec["name"]].head(rows).tolist(),
        )
        for spec in inputs
    ]


def as_binary(inputs: list[dict[str, Any]], **more: Any) -> tuple[bytes, dict[str, str]]:
    """Return the same tensors behind the JSON, and the header that says so."""
    binary, told = b"", []
    for one in inputs:
        data = packed(one["datatype"], one["data"])
        kept = {key: value for key, value in one.items() if key != "data"}
        told.append({**kept, "parameters": {"binary_data_size": len(data)}})
        binary += data
    written = json.dumps({"inputs": told, **more}).encode()
    return written + binary, {LENGTH: str(len(written))}


def outputs(answer: httpx.Response) -> "np.ndarray[Any, Any]":
    """Return an answer's numbers, an output a column."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    found = values_in(json.loads(answer.content[:length]), answer.content[length:])
    return np.array(list(found.values())).T


def test_the_server_says_what_it_is_and_that_it_is_ready(guide: Guide) -> None:
    """In the protocol's words: an array of extensions, `live` beside `ready`."""
    service = guide.service
    told = service.get("/v2").json()
    assert told["name"] == "mlflow-hotswap"
    assert "binary_tensor_data" in told["extensions"]
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_a_model_says_what_it_is(guide: Guide, model: str) -> None:
    """With and without the version that serves; another one is not found."""
    service = guide.service
    told = service.get(model).json()
    signature = service.info()["serving"]["signature"]
    assert told["name"] == model.rpartition("/")[2]
    assert told["versions"] == [guide.version]
    assert told["platform"] == "mlflow"
    for described, specs in (("inputs", told["inputs"]), ("outputs", told["outputs"])):
        assert [(one["name"], one["datatype"], one["shape"]) for one in specs] == [
            (one["name"], datatype_of(one["type"]), [-1]) for one in signature[described]
        ]
    for end in ("", "/ready", "/config", "/stats"):
        without = service.get(f"{model}{end}")
        versioned = service.get(f"{model}/versions/{guide.version}{end}")
        assert without.status_code == versioned.status_code == 200, end
        assert without.json() == versioned.json()
        refused = service.get(f"{model}/versions/99{end}")
        assert refused.status_code == 404
        assert "version '99'" in refused.json()["error"]
        assert service.get(f"/v2/models/nobody{end}").status_code == 404
    assert service.get(f"{model}/config").json()["input"][0]["data_type"].startswith("TYPE_")


def test_the_repository_is_shown_and_not_changed(guide: Guide, model: str) -> None:
    """By a call with an empty body, as Triton's client makes it."""
    name = model.rpartition("/")[2]
    ready = [{"name": name, "version": guide.version, "state": "READY", "reason": ""}]
    assert guide.service.client.post("/v2/repository/index").json() == ready
    assert guide.service.post("/v2/repository/index", {"ready": True}).json() == ready
    for change in ("load", "unload"):
        refused = guide.service.post(f"/v2/repository/models/{name}/{change}")
        assert refused.status_code == 400
        assert "promote a version" in refused.json()["error"]


def test_the_numbers_are_the_models_in_each_form(guide: Guide, model: str) -> None:
    """Flat, nested, binary in, binary out, both, mixed, and under the version's own path."""
    service, rows = guide.service, 7
    expected = guide.expected(rows)
    flat = tensors(guide, rows)
    nested = [
        {**one, "shape": [rows, 1], "data": [[value] for value in one["data"]]} for one in flat
    ]
    for inputs in (flat, nested, tensors(guide, rows, wide=True)):
        answer = service.post(f"{model}/infer", {"id": "a b", "inputs": inputs})
        assert np.array_equal(outputs(answer), expected)
        told = answer.json()
        assert (told["id"], told["model_version"]) == ("a b", guide.version)
        assert told["model_name"] == model.rpartition("/")[2]
        assert answer.headers["x-model-version"] == guide.version
    binary_in, head = as_binary(flat)
    both, both_head = as_binary(flat, parameters={"binary_data_output": True})
    mixed, mixed_head = as_binary(flat[:2])
    document = json.loads(mixed[: int(mixed_head[LENGTH])])
    document["inputs"] += flat[2:]
    written = json.dumps(document).encode()
    mixed = written + mixed[int(mixed_head[LENGTH]) :]
    for body, length in (
        (binary_in, head[LENGTH]),
        (both, both_head[LENGTH]),
        (mixed, str(len(written))),
    ):
        for path in (f"{model}/infer", f"{model}/versions/{guide.version}/infer"):
            answer = service.client.post(path, content=body, headers={LENGTH: length})
            assert np.array_equal(outputs(answer), expected)
            assert (LENGTH in answer.headers) == (body is both)


def test_one_output_may_be_asked_for_and_be_binary_beside_json(guide: Guide, model: str) -> None:
    """In the order and the forms that are asked for."""
    names = [one["name"] for one in guide.service.info()["serving"]["signature"]["outputs"]]
    wishes = [
        {"name": names[1], "parameters": {"binary_data": True}},
        {"name": names[0]},
    ]
    answer = guide.service.post(f"{model}/infer", {"inputs": tensors(guide, 3), "outputs": wishes})
    assert np.array_equal(outputs(answer)[:, ::-1], guide.expected(3))
    refused = guide.service.post(
        f"{model}/infer", {"inputs": tensors(guide, 3), "outputs": [{"name": "other"}]}
    )
    assert refused.status_code == 400
    assert "outputs.other" in refused.json()["error"]


def test_bodies_and_answers_may_be_compressed(guide: Guide, model: str) -> None:
    """By gzip and deflate; the framing counts what is inflated."""
    rows = 50
    body, head = as_binary(tensors(guide, rows), parameters={"binary_data_output": True})
    for coding, squeeze in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        with guide.service.client.stream(
            "POST",
            f"{model}/infer",
            content=squeeze(body),
            headers={**head, "content-encoding": coding, "accept-encoding": coding},
        ) as answer:
            answer.read()
        assert answer.headers.get("content-encoding") in {coding, None}
        assert np.array_equal(outputs(answer), guide.expected(rows))


def test_large_bodies_are_answered_too(guide: Guide, model: str) -> None:
    """In a worker, and in an answer that goes out in parts, compressed or not."""
    rows, times = 60, 2_000
    inputs = tensors(guide, rows)
    for one in inputs:
        one["data"] *= times
        one["shape"] = [rows * times]
    body, head = as_binary(inputs, parameters={"binary_data_output": True})
    expected = np.tile(guide.expected(rows), (times, 1))
    for coding in ("identity", "gzip"):
        answer = guide.service.client.post(
            f"{model}/infer", content=body, headers={**head, "accept-encoding": coding}
        )
        assert answer.headers.get("content-encoding", "identity") == coding
        assert np.array_equal(outputs(answer), expected)


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"", {}, 400, "JSON"),
        (b"{}", {}, 400, "inputs"),
        (b'{"inputs": []}', {}, 400, "inputs"),
        (b'{"inputs": [{"name": "a"}]}', {}, 400, "shape"),
        (b"{}", {LENGTH: "9"}, 400, "announced"),
        (b"{}", {LENGTH: "x"}, 400, "Inference-Header-Content-Length"),
        (b"{}", {"content-encoding": "br"}, 415, "gzip and deflate"),
        (b"{}", {"content-encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(bytes(40_000_000)), {"content-encoding": "gzip"}, 413, "MAX_BODY_BYTES"),
        (gzip.compress(b"{}")[:-3], {"content-encoding": "gzip"}, 400, "ends before"),
        (gzip.compress(b"{}") * 2, {"content-encoding": "gzip"}, 400, "goes on"),
    ],
)
def test_what_is_wrong_is_told_in_the_protocols_form(
    guide: Guide, model: str, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    """A sentence in `error`, with the content type that clients look for."""
    answer = guide.service.client.post(f"{model}/infer", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json().values()
    assert told in error


def test_a_request_may_give_itself_less_time(guide: Guide, model: str) -> None:
    """In microseconds; what its time is too short for is told in the protocol's form."""
    asked = {"inputs": tensors(guide, 3)}
    enough = guide.service.post(f"{model}/infer", {**asked, "parameters": {"timeout": 20_000_000}})
    assert np.array_equal(outputs(enough), guide.expected(3))
    body, headers = as_binary(asked["inputs"], parameters={"timeout": 1})
    for late in (
        guide.service.post(f"{model}/infer", {**asked, "parameters": {"timeout": 1}}),
        guide.service.client.post(f"{model}/infer", content=body, headers=headers),
    ):
        assert late.status_code in {503, 504}
        assert "caller" in late.json()["error"]
    wrong = guide.service.post(f"{model}/infer", {**asked, "parameters": {"timeout": "soon"}})
    assert wrong.status_code == 400
    assert "parameters.timeout" in wrong.json()["error"]


def test_a_tensor_and_its_row_are_named(guide: Guide, model: str) -> None:
    """Wherever one of its values is wrong."""
    inputs = tensors(guide, 4)
    inputs[1]["data"][2] = "wrong"
    answer = guide.service.post(f"{model}/infer", {"inputs": inputs})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"inputs.{inputs[1]['name']}[2]: expected")


def test_paths_and_methods_that_are_none_are_told_in_the_same_form(guide: Guide) -> None:
    """Clients of Triton's ask for more than there is."""
    for answer, status in (
        (guide.service.get("/v2/systemsharedmemory/status"), 404),
        (guide.service.get("/v2/repository/index"), 405),
        (guide.service.client.request("DELETE", "/v2/health/live"), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()) == {"error"}
    assert "title" in guide.service.get("/v3").json()


def test_the_schema_describes_every_call(guide: Guide) -> None:
    """Both forms of a request, and of its answer."""
    paths = guide.service.get("/schema/openapi.json").json()["paths"]
    named = f"/v2/models/{guide.service.info()['model_name']}"
    described = paths[f"{named}/versions/{guide.version}/infer"]["post"]
    assert paths[f"{named}/infer"]["post"]["requestBody"] == described["requestBody"]
    forms = {"application/json", "application/octet-stream"}
    assert set(described["requestBody"]["content"]) == forms
    assert set(described["responses"]["200"]["content"]) == forms
    assert {"/v2", "/v2/health/ready", "/v2/models/{name}", "/v2/repository/index"} <= set(paths)
