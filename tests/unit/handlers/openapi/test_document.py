"""The OpenAPI document of some models, without a service."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.contracts.choose import contract_for
from service.handlers.description import Described, Serving, words_for
from service.handlers.openapi.document import write

SIGNATURE = {
    "inputs": [
        {"name": "x", "type": "double", "required": True},
        {"name": "n", "type": "long", "required": False},
    ],
    "outputs": [
        {"name": "y", "type": "double", "required": True},
        {"name": "why", "type": "string", "required": False},
    ],
    "params": [{"name": "p", "type": "double", "default": 0.5, "shape": None}],
}
EXAMPLE = b'{"instances": [{"x": 1.5}, {"x": 2, "n": 3}], "params": {"p": 1.0}}'


def serving(version: str = "1", *, refuse: bool = False, example: bytes = EXAMPLE) -> Serving:
    """Return a version of the signature above."""
    contract = contract_for("m", SIGNATURE, refuse_unknown=refuse)
    return Serving("m", version, contract, example, non_finite_is_null=False)


def described(name: str, now: Serving | None, *, is_default: bool = False) -> Described:
    """Return a deployment of this name."""
    return Described(name, words_for([name])[name], is_default, now)


def document(*models: Described, token_wanted: bool = False, hooks: bool = False) -> dict[str, Any]:
    """Return the document about these models."""
    written = write(models, token_wanted=token_wanted, hooks=hooks)
    found: dict[str, Any] = json.loads(written.body)
    return found


def schemas_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return its schemas by their names."""
    schemas: dict[str, Any] = found["components"]["schemas"]
    return schemas


def operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each call."""
    for item in found["paths"].values():
        yield from item.values()


def test_params_have_their_defaults_in_each_protocol() -> None:
    """By name and type."""
    schemas = schemas_of(document(described("m", serving(), is_default=True)))
    wanted = {"type": ["number", "null"], "default": 0.5}
    for name, field in (
        ("m.Rows", "params"),
        ("m.Columns", "params"),
        ("m.InvocationsDataframeSplit", "params"),
        ("m.InferRequest", "parameters"),
    ):
        assert schemas[name]["properties"][field]["properties"]["p"] == wanted, name


@pytest.mark.parametrize("refuse", [False, True])
def test_other_fields_are_as_the_setting_says(*, refuse: bool) -> None:
    """UNKNOWN_FIELDS is about the native protocol: MLflow drops what it does not know."""
    schemas = schemas_of(document(described("m", serving(refuse=refuse))))
    for name in ("m.Row", "m.Rows", "m.Columns"):
        assert schemas[name]["additionalProperties"] is not refuse, name
    assert schemas["m.Record"]["additionalProperties"] is True
    assert schemas["m.Row"]["required"] == ["x"]
    assert schemas["m.Row"]["properties"]["n"]["type"] == ["integer", "null"]


def test_answers_are_as_the_signature_and_the_settings_say() -> None:
    """By name and type; null stands for what a model leaves out."""
    answer = schemas_of(document(described("m", serving())))["m.Prediction"]
    assert answer["properties"] == {
        "y": {"type": ["number", "null"]},
        "why": {"type": ["string", "null"]},
    }
    assert answer["required"] == ["y", "why"]
    assert answer["additionalProperties"] is False


def test_the_input_example_is_shown_in_each_form() -> None:
    """Rows, columns, MLflow's forms and tensors say the same."""
    found = document(described("m", serving()))
    examples = {name: one["value"] for name, one in found["components"]["examples"].items()}
    params = {"p": 1.0}
    assert examples == {
        "m.rows": {"instances": [{"x": 1.5}, {"x": 2, "n": 3}], "params": params},
        "m.columns": {"columns": {"x": [1.5, 2], "n": [None, 3]}, "params": params},
        "m.dataframe_split": {
            "dataframe_split": {"columns": ["x", "n"], "data": [[1.5, None], [2, 3]]},
            "params": params,
        },
        "m.dataframe_records": {
            "dataframe_records": [{"x": 1.5}, {"x": 2, "n": 3}],
            "params": params,
        },
        "m.tensors": {
            "inputs": [
                {"name": "x", "shape": [2], "datatype": "FP64", "data": [1.5, 2]},
                {"name": "n", "shape": [2], "datatype": "INT64", "data": [None, 3]},
            ],
            "parameters": params,
        },
    }


@pytest.mark.parametrize("example", [b"", b"no JSON", b"[]", b"{}", b'{"instances": []}', b"\xff"])
def test_what_is_no_example_is_shown_to_nobody(example: bytes) -> None:
    """A worker says what it is, and runs a model's code."""
    found = document(described("m", serving(example=example)))
    assert found["components"]["examples"] == {}


def test_a_model_that_does_not_serve_is_there_with_what_is_known() -> None:
    """Its calls and what they answer now, 503 among it."""
    found = document(described("m", serving()), described("waits", None))
    for path in ("/models/waits/predict", "/models/waits/invocations", "/v2/models/waits/infer"):
        assert "503" in found["paths"][path]["post"]["responses"], path
    assert found["info"]["x-models"][1] == {
        "name": "waits",
        "model_name": None,
        "model_version": None,
    }


def test_each_call_has_a_name_of_its_own_and_each_reference_leads_somewhere() -> None:
    """For models whose names differ in what identifiers can't have."""
    names = ["a b", "a_b", "ä?#{x}%", "a-b", "_"]
    words = words_for(names)
    models = [Described(name, words[name], name == "a b", serving()) for name in names]
    found = document(*models, token_wanted=True, hooks=True)
    ids = [operation["operationId"] for operation in operations(found)]
    assert len(set(ids)) == len(ids)
    assert "/models/%C3%A4%3F%23%7Bx%7D%25/predict" in found["paths"]
    text = json.dumps(found)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        target: Any = found
        for part in reference.split("/"):
            target = target[part]
    for kind in ("schemas", "responses", "examples", "headers"):
        for name in found["components"][kind]:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), name
    for path in found["paths"]:
        assert set(re.findall(r"{(.*?)}", path)) <= {"name", "version"}


def test_operators_calls_want_the_token_where_one_is_set() -> None:
    """And no other call does."""
    for token_wanted in (False, True):
        found = document(described("m", serving()), token_wanted=token_wanted)
        for operation in operations(found):
            is_guarded = token_wanted and operation["tags"] == ["operate"]
            assert ("security" in operation) is is_guarded, operation["operationId"]
        assert ("securitySchemes" in found["components"]) is token_wanted


def test_webhooks_are_there_where_they_are_taken() -> None:
    """They are not routed without a secret."""
    for hooks in (False, True):
        found = document(described("m", serving()), hooks=hooks)
        assert ("/webhooks/mlflow" in found["paths"]) is hooks


def test_another_version_is_another_document() -> None:
    """By `info`, the tag and the header; the same is the same again."""
    models = [described("m", serving(version), is_default=True) for version in ("1", "2", "2")]
    first, second, again = (write([one], token_wanted=False, hooks=False) for one in models)
    assert first.etag != second.etag == again.etag
    assert second.headers["x-model-version"] == "2"
    assert json.loads(second.body)["info"]["version"] == "2"


def test_without_a_default_model_it_is_of_the_service() -> None:
    """Its version is the package's, and no header names one model's."""
    written = write([described("a", serving())], token_wanted=False, hooks=False)
    assert dict(written.headers) == {}
    assert "/predict" not in json.loads(written.body)["paths"]
