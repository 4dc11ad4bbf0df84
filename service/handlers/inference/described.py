"""How the Open Inference Protocol is described: the tensors of requests and answers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from service.codecs.inference.datatypes import (
    BYTES,
    KNOWN,
    UNNAMED_INPUT,
    TensorSpec,
    input_tensors,
    output_tensors,
)
from service.contracts.contract import Contract, InputSpec, Layout
from service.contracts.described import element_schema, input_schemas, params_schema
from service.contracts.examples import example_of, in_columns
from service.contracts.json_schema import Schema, list_of, nullable, object_of, tuple_of
from service.contracts.mlflow_types import SCALARS
from service.handlers.description import (
    BINARY,
    PREDICT_PARAMETERS,
    VERSION_HEADERS,
    Described,
    Description,
    Operation,
    Serving,
    answer,
    json_answer,
    name_parameter,
)
from service.handlers.inference.faults import MEANINGS

_JSON = "application/json"
_BINARY = "application/octet-stream"
_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_FAULT = object_of({"error": _TEXT}, ["error"], closed=True)
_SHAPE = list_of({"type": "integer", "minimum": 0}, least=1)
_DATATYPE: Schema = {"enum": list(KNOWN)}
_TENSOR_OF_MODEL = object_of(
    {
        "name": _TEXT,
        "datatype": _DATATYPE,
        "shape": list_of({"type": "integer", "minimum": -1}),
    },
    ["name", "datatype", "shape"],
    closed=True,
)
_READY = object_of({"name": _TEXT, "ready": {"const": True}}, ["name", "ready"], closed=True)
_METADATA = object_of(
    {
        "name": _TEXT,
        "versions": list_of(_TEXT),
        "platform": _TEXT,
        "inputs": list_of(_TENSOR_OF_MODEL),
        "outputs": list_of(_TENSOR_OF_MODEL),
    },
    ["name", "versions", "platform", "inputs", "outputs"],
    closed=True,
)
_OF_MODELS: tuple[tuple[str, str, str, Schema], ...] = (
    ("", "metadata", "A model's tensors", _METADATA),
    ("/ready", "ready", "Can this model answer?", _READY),
    ("/config", "config", "A model's configuration, as Triton has it", _OBJECT),
    ("/stats", "stats", "What a model has answered, as Triton has it", _OBJECT),
)
_READ = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_TAKEN = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def describe(document: Description, models: Sequence[Described]) -> None:
    """Add what the protocol says of the server and of models, and each model's requests."""
    _add_server(document)
    _add_repository(document, models)
    name = name_parameter(models)
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "description": "The version that serves: any other one is not loaded",
        "schema": _TEXT,
    }
    for end, called, summary, schema in _OF_MODELS:
        operation = _operation(
            f"v2_model_{called}",
            summary,
            {"200": json_answer(summary, schema), **_faults(document, *_READ)},
        )
        path = f"/v2/models/{{name}}{end}"
        document.add(path, "get", {**operation, "parameters": [name]})
        versioned = {"operationId": f"v2_version_{called}", "parameters": [name, version]}
        path = f"/v2/models/{{name}}/versions/{{version}}{end}"
        document.add(path, "get", operation | versioned)
    for model in models:
        operation = _infer(document, model)
        path = f"/v2/models/{model.path}"
        document.add(f"{path}/infer", "post", operation)
        if model.serving is not None:
            called = f"v2_infer_version_{model.word}"
            path = f"{path}/versions/{model.serving.version}/infer"
            document.add(path, "post", {**operation, "operationId": called})


def _add_server(document: Description) -> None:
    live = object_of({"live": {"const": True}}, ["live"], closed=True)
    ready = object_of(
        {"live": {"const": True}, "ready": {"type": "boolean"}, "error": _TEXT},
        ["live", "ready"],
        closed=True,
    )
    server = object_of(
        {"name": _TEXT, "version": _TEXT, "extensions": list_of(_TEXT)},
        ["name", "version", "extensions"],
        closed=True,
    )
    responses = {
        "200": json_answer("The server", server),
        **_faults(document, HTTPStatus.FORBIDDEN),
    }
    document.add("/v2", "get", _operation("v2_server", "What the server is", responses))
    responses = {"200": json_answer("It is", live)}
    document.add(
        "/v2/health/live", "get", _operation("v2_live", "Is the process alive?", responses)
    )
    responses = {"200": json_answer("It can", ready), "503": json_answer("Why not", ready)}
    document.add("/v2/health/ready", "get", _operation("v2_ready", "Can it answer?", responses))


def _add_repository(document: Description, models: Sequence[Described]) -> None:
    index = list_of(
        object_of(
            {"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT},
            ["name", "state", "reason"],
            closed=True,
        )
    )
    wanted = object_of({"ready": {"type": "boolean"}}, [], closed=False)
    operation = _operation(
        "v2_repository_index",
        "Which models there are",
        {"200": json_answer("Each", index), **_faults(document, *_TAKEN)},
    )
    body = {"required": False, "content": {_JSON: {"schema": wanted}}}
    document.add("/v2/repository/index", "post", operation | {"requestBody": body})
    for change in ("load", "unload"):
        operation = _operation(
            f"v2_repository_{change}",
            "Refused: the registry decides",
            _faults(document, *_TAKEN),
        )
        path = f"/v2/repository/models/{{name}}/{change}"
        document.add(path, "post", operation | {"parameters": [name_parameter(models)]})


def _infer(document: Description, model: Described) -> Operation:
    serving = model.serving
    taken: dict[str, Any] = {"schema": _OBJECT}
    given: Schema = _OBJECT
    if serving is not None:
        taken = {"schema": _request(document, model.word, serving)}
        taken |= _examples(document, model.word, serving)
        given = _answer(document, model.word, serving)
    responses = {
        "200": answer("Tensors", {_JSON: {"schema": given}, _BINARY: BINARY}, VERSION_HEADERS),
        **_faults(document, *MEANINGS),
    }
    return {
        **_operation(f"v2_infer_{model.word}", f"Predict by {model.name}", responses),
        "description": (
            "Tensors in, tensors out, in JSON or behind it: then the header "
            "Inference-Header-Content-Length says how long the JSON is. Numbers of other datatypes "
            "are taken where they are the same numbers in the column's own type."
        ),
        "parameters": PREDICT_PARAMETERS,
        "requestBody": {"required": True, "content": {_JSON: taken, _BINARY: BINARY}},
    }


def _request(document: Description, word: str, serving: Serving) -> Schema:
    contract = serving.contract
    tensors = [
        _tensor(spec, elements)
        for spec, elements in zip(input_tensors(contract), _elements(contract), strict=True)
    ]
    required = sum(spec.required for spec in contract.inputs)
    inputs: Schema = {"type": "array", "minItems": max(1, required)}
    if required == len(contract.inputs) or len(tensors) == 1:
        inputs = tuple_of(tensors)
    else:
        inputs |= {"items": {"anyOf": tensors}, "maxItems": len(tensors)}
    outputs = [spec.name for spec in contract.outputs]
    wanted = object_of(
        {
            "name": {"enum": outputs} if outputs else _TEXT,
            "parameters": {
                "type": ["object", "null"],
                "properties": {"binary_data": {"type": "boolean"}},
            },
        },
        ["name"],
        closed=False,
    )
    body = object_of(
        {
            "id": nullable(_TEXT),
            "parameters": _parameters(contract),
            "inputs": inputs,
            "outputs": nullable(list_of(wanted)),
        },
        ["inputs"],
        closed=False,
    )
    return document.schema(f"{word}.InferRequest", body)


def _parameters(contract: Contract) -> Schema:
    """Return the schema of a request's parameters, among which are those of the model."""
    params = params_schema(contract) or {}
    binary: Schema = {"type": "boolean", "default": False}
    fields = {"binary_data_output": binary, **params.get("properties", {})}
    about = "`timeout` is after how many microseconds no answer is wanted"
    return nullable(object_of(fields, [], closed=False)) | {"description": about}


def _tensor(spec: TensorSpec, elements: Schema) -> Schema:
    """Return the schema of an input, flat; nested elements are taken as well."""
    dimensions = [
        {"type": "integer", "minimum": 1} if size < 0 else {"const": size} for size in spec.shape
    ]
    return object_of(
        {
            "name": {"const": spec.name},
            "shape": tuple_of(dimensions),
            "datatype": {"const": spec.datatype},
            "data": list_of(elements, least=1),
            "parameters": {"type": ["object", "null"]},
        },
        ["name", "shape", "datatype", "data"],
        closed=False,
    )


def _elements(contract: Contract) -> list[Schema]:
    """Return the schema of an element of each tensor that is sent."""
    if contract.layout in {Layout.TENSOR, Layout.TENSORS}:
        return [
            element_schema(spec["tensor-spec"]["dtype"]) for spec in contract.signature["inputs"]
        ]
    columns = [
        _in_tensor(spec, schema)
        for spec, schema in zip(contract.inputs, input_schemas(contract), strict=True)
    ]
    if contract.layout is Layout.POSITIONAL:
        different = [one for at, one in enumerate(columns) if one not in columns[:at]]
        return [different[0] if len(different) == 1 else {"anyOf": different}]
    return columns


def _in_tensor(spec: InputSpec, schema: Schema) -> Schema:
    """Return the schema of a column's value in a tensor: nested ones are JSON within a text."""
    if spec.type in SCALARS and spec.type != "binary":
        return schema
    return _TEXT if spec.required else nullable(_TEXT)


def _answer(document: Description, word: str, serving: Serving) -> Schema:
    described = output_tensors(serving.contract)
    items = {"anyOf": [_answered(spec) for spec in described]} if described else _answered(None)
    body = object_of(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _OBJECT,
            "outputs": list_of(items),
        },
        ["model_name", "model_version", "outputs"],
        closed=True,
    )
    return document.schema(f"{word}.InferAnswer", body)


def _answered(spec: TensorSpec | None) -> Schema:
    name = _TEXT if spec is None else {"const": spec.name}
    kinds = {BYTES: ["string", "null"], "BOOL": ["boolean", "null"]}
    elements: Schema = {"type": kinds.get(spec.datatype, ["number", "null"])} if spec else {}
    return object_of(
        {
            "name": name,
            "shape": _SHAPE,
            "datatype": _DATATYPE,
            "data": list_of(elements),
            "parameters": _OBJECT,
        },
        ["name", "shape", "datatype"],
        closed=True,
    )


def _examples(document: Description, word: str, serving: Serving) -> dict[str, Any]:
    """Return the version's input example as tensors, where its inputs are named columns."""
    contract = serving.contract
    body = example_of(serving.example)
    rows = body.get("instances", [])
    columns = in_columns(contract, rows)
    if contract.layout is Layout.TENSOR and rows:
        columns = {UNNAMED_INPUT: rows}
    if not columns:
        return {}
    kinds = {spec.name: spec.type for spec in contract.inputs}
    tensors = [
        _shown(spec, kinds.get(spec.name, "tensor"), columns[spec.name])
        for spec in input_tensors(contract)
        if spec.name in columns
    ]
    params = {"parameters": body["params"]} if body.get("params") else {}
    value = {"inputs": tensors, **params}
    shown = document.example(f"{word}.tensors", "The same as tensors", value)
    return {"examples": {"tensors": shown}}


def _shown(spec: TensorSpec, kind: str, values: list[Any]) -> dict[str, Any]:
    shape, data = [len(values)], values
    while len(shape) < len(spec.shape):
        shape.append(len(data[0]))
        data = [item for row in data for item in row]
    tensor: dict[str, Any] = {"name": spec.name, "shape": shape, "datatype": spec.datatype}
    if kind == "binary":
        tensor["parameters"] = {"content_type": "base64"}
    elif kind not in SCALARS and kind != "tensor":
        data = [None if one is None else msgspec.json.encode(one).decode() for one in data]
    return {**tensor, "data": data}


def _faults(document: Description, *statuses: HTTPStatus) -> dict[str, Any]:
    fault = document.schema("InferenceFault", _FAULT)
    meanings = {status: MEANINGS[status] for status in statuses}
    return document.faults("Inference", meanings, _JSON, fault)


def _operation(called: str, summary: str, responses: dict[str, Any]) -> Operation:
    return {
        "operationId": called,
        "tags": ["inference"],
        "summary": summary,
        "responses": responses,
    }
