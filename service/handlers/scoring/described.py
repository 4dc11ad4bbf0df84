"""How MLflow's scoring protocol is described: the forms of a body, by what the version takes.

MLflow takes more than is said here: it casts, and drops what it does not know.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from service.codecs.catalog import SCORING
from service.contracts.contract import Layout
from service.contracts.described import (
    columns_schema,
    input_schemas,
    output_schemas,
    params_schema,
    row_schema,
    rows_schema,
)
from service.contracts.examples import example_of, in_columns
from service.contracts.json_schema import Schema, list_of, object_of, tuple_of
from service.handlers.description import (
    BINARY,
    PREDICT_FAULTS,
    PREDICT_PARAMETERS,
    VERSION_HEADERS,
    Described,
    Description,
    Operation,
    Serving,
    answer,
    problems,
)

_OWN_PATH = "/invocations"
_PATHS = (
    "/models/{}/invocations",
    "/endpoints/{}/invocations",
    "/serving-endpoints/{}/invocations",
)
_FAULTS = {
    **PREDICT_FAULTS,
    HTTPStatus.BAD_REQUEST: "What MLflow refuses, or the model raised",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES, or far more once decoded",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Neither JSON, CSV nor Parquet, or with a Content-Encoding",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The model's answer can't be written, or its process ended",
}
_VERSION_FAULTS = {
    HTTPStatus.FORBIDDEN: PREDICT_FAULTS[HTTPStatus.FORBIDDEN],
    HTTPStatus.NOT_FOUND: "There is no default model",
    HTTPStatus.SERVICE_UNAVAILABLE: "No version of the default model can answer yet",
}
_CHAT = ("messages", "prompt", "input")
_TEXT: Schema = {"type": "string"}
_FAULT = object_of({"error_code": _TEXT, "message": _TEXT}, ["error_code", "message"], closed=True)


def describe(document: Description, models: Sequence[Described]) -> None:
    """Add the call of each model under each of its paths, and what is told of the server."""
    for model in models:
        operation = _operation(document, model)
        if model.is_default:
            document.add(_OWN_PATH, "post", {**operation, "operationId": "invocations"})
        for path in _PATHS:
            begin = path.split("/")[1].replace("-", "_")
            called = f"invocations_{begin}_{model.word}"
            document.add(path.format(model.path), "post", {**operation, "operationId": called})
    # Lines of text that MLflow calls JSON.
    line: dict[str, Any] = {"application/json": {}}
    document.add(
        "/ping",
        "get",
        {
            "operationId": "ping",
            "tags": ["scoring"],
            "summary": "Can it answer? (MLflow, SageMaker)",
            "responses": {
                "200": answer("It can: an empty line", line),
                "404": answer("It can't; /health says why", line),
            },
        },
    )
    document.add(
        "/version",
        "get",
        {
            "operationId": "mlflow_version",
            "tags": ["scoring"],
            "summary": "Which MLflow calls the model?",
            "responses": {
                "200": answer("Its version, without quotes", line),
                **problems(document, "MlflowVersion", _VERSION_FAULTS),
            },
        },
    )


def _operation(document: Description, model: Described) -> Operation:
    serving = model.serving
    fault = document.schema("ScoringFault", _FAULT)
    text = {HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("text/plain", _TEXT)}
    taken: dict[str, Any] = {"schema": {"type": "object"}}
    given: Schema = {"type": "object"}
    if serving is not None:
        taken = {"schema": _body(document, model.word, serving)} | _examples(
            document, model.word, serving
        )
        given = _answer(document, model.word, serving)
    json, csv, parquet = SCORING.values()
    return {
        "tags": ["scoring"],
        "summary": f"Predict by {model.name}, as `mlflow models serve` does",
        "description": (
            "What is taken beyond this, and how it is cast, belong to the MLflow beside the model. "
            "The version is named by headers."
        ),
        "parameters": PREDICT_PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                json: taken,
                csv: {"schema": {"type": "string", "description": "With a line of names"}},
                parquet: BINARY,
            },
        },
        "responses": {
            "200": answer("Predictions", {json: {"schema": given}}, VERSION_HEADERS),
            **document.faults("Invocations", _FAULTS, json, fault, text),
        },
    }


def _body(document: Description, word: str, serving: Serving) -> Schema:
    contract = serving.contract
    inputs = input_schemas(contract)
    row = row_schema(contract, inputs, closed=False)
    columns = columns_schema(contract, inputs, closed=False)
    forms = {"inputs": columns or rows_schema(contract, row)}
    if contract.layout is Layout.COLUMNS:
        rows = list_of(document.schema(f"{word}.Record", row), least=1)
        forms = {
            "dataframe_split": _split([spec.name for spec in contract.inputs], inputs),
            "dataframe_records": rows,
            "instances": rows,
            **forms,
        }
    elif contract.layout in {Layout.TENSOR, Layout.TENSORS}:
        forms["instances"] = rows_schema(contract, row)
    names = {spec.name for spec in contract.inputs}
    chat = {name: Schema() for name in _CHAT if name in names}
    params = params_schema(contract)
    others: dict[str, Schema] = {"client_request_id": _TEXT}
    if params is not None:
        others["params"] = params | {"additionalProperties": True}
    bodies = [
        document.schema(
            f"{word}.Invocations{name.title().replace('_', '')}",
            object_of({name: schema, **others}, [name], closed=False),
        )
        for name, schema in {**forms, **chat}.items()
    ]
    return document.schema(f"{word}.InvocationsRequest", {"anyOf": bodies})


def _split(names: list[str], inputs: Sequence[Schema]) -> Schema:
    """Return the schema of MLflow's `split`, with the columns in the signature's order."""
    fields = {
        "columns": tuple_of([{"const": name} for name in names]),
        "data": list_of(tuple_of(inputs), least=1),
    }
    return object_of(fields, ["columns", "data"], closed=False)


def _answer(document: Description, word: str, serving: Serving) -> Schema:
    names = {spec.name for spec in serving.contract.inputs}
    if names & set(_CHAT):
        return {"description": "What the model answers; `predictions` around it for a table"}
    outputs = output_schemas(serving.contract, non_finite_is_null=True)
    values = list(outputs.values())
    row = values[0] if len(values) == 1 else list_of({}) if values else {}
    # MLflow writes a frame as objects, an array as lists, and a dict as it is.
    predictions: Schema = {
        "anyOf": [
            list_of(object_of(outputs, [], closed=False)),
            list_of(row),
            {"type": "object"},
        ]
    }
    body = object_of({"predictions": predictions}, ["predictions"], closed=True)
    return document.schema(f"{word}.InvocationsAnswer", body)


def _examples(document: Description, word: str, serving: Serving) -> dict[str, Any]:
    """Return the version's input example in MLflow's usual forms."""
    contract = serving.contract
    body = example_of(serving.example)
    if not body:
        return {}
    rows = body["instances"]
    params = {"params": body["params"]} if body.get("params") else {}
    columns = in_columns(contract, rows)
    values: dict[str, Any] = {"inputs": columns or rows}
    if contract.layout is Layout.COLUMNS and columns:
        data = list(zip(*columns.values(), strict=True))
        split = {"columns": list(columns), "data": data}
        values = {"dataframe_split": split, "dataframe_records": rows}
    shown = {
        form: document.example(f"{word}.{form}", f"The same as {form}", {form: value, **params})
        for form, value in values.items()
    }
    return {"examples": shown}
