"""How `/predict` is described: what the version that serves takes and answers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from service.contracts.described import (
    columns_schema,
    input_schemas,
    output_schemas,
    params_schema,
    row_schema,
    rows_schema,
)
from service.contracts.examples import example_of, in_columns
from service.contracts.json_schema import NOTHING, Schema, list_of, object_of
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
from service.handlers.media import Media
from service.handlers.predictions.direct import PATH

_FAULTS = {
    **PREDICT_FAULTS,
    HTTPStatus.BAD_REQUEST: "Malformed, or not what the served version takes: `path` and `row`",
    HTTPStatus.NOT_ACCEPTABLE: "Neither JSON nor Arrow is accepted",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES, or 8 times that once decoded",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Neither JSON nor Arrow, or with a Content-Encoding",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The model raised, or its answer is not finite: with `row`",
}
_OTHER = {"instances": "columns", "columns": "instances"}
_TEXT: Schema = {"type": "string"}


def describe(document: Description, models: Sequence[Described]) -> None:
    """Add the call of each model, and that of the default one."""
    for model in models:
        operation = _operation(document, model)
        named = {**operation, "operationId": f"predict_{model.word}"}
        document.add(f"/models/{model.path}/predict", "post", named)
        if model.is_default:
            document.add(PATH, "post", {**operation, "operationId": "predict"})


def _operation(document: Description, model: Described) -> Operation:
    serving = model.serving
    if serving is None:
        about = "No version serves: it answers 503 until one does."
        taken: dict[str, Any] = {"schema": {"type": "object"}}
        given: Schema = {"type": "object"}
    else:
        about = f"Version {serving.version} of {serving.model_name} serves."
        taken = {"schema": _body(document, model.word, serving)} | _examples(
            document, model.word, serving
        )
        given = _answer(document, model.word, serving)
    return {
        "tags": ["predict"],
        "summary": f"Predict by {model.name}",
        "description": (
            f"{about} Rows or columns in, predictions out, in the form that the request has. The "
            "answer is of the request's kind, JSON or Arrow, unless `Accept` says otherwise. An "
            "Arrow IPC stream has a column for each input, and `hotswap.params` in its schema's "
            "metadata."
        ),
        "parameters": PREDICT_PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                Media.JSON.value: taken,
                Media.ARROW.value: BINARY,
            },
        },
        "responses": {
            "200": answer(
                "Predictions",
                {
                    Media.JSON.value: {"schema": given},
                    Media.ARROW.value: BINARY,
                },
                VERSION_HEADERS,
            ),
            **problems(document, "Predict", _FAULTS),
        },
    }


def _body(document: Description, word: str, serving: Serving) -> Schema:
    contract = serving.contract
    closed = contract.refuse_unknown
    inputs = input_schemas(contract)
    row = document.schema(f"{word}.Row", row_schema(contract, inputs, closed=closed))
    rows = _form("instances", rows_schema(contract, row), serving)
    columns = columns_schema(contract, inputs, closed=closed)
    if columns is None:
        return document.schema(f"{word}.Rows", rows)
    forms = [
        document.schema(f"{word}.Rows", rows),
        document.schema(f"{word}.Columns", _form("columns", columns, serving)),
    ]
    return document.schema(f"{word}.PredictRequest", {"oneOf": forms})


def _form(field: str, schema: Schema, serving: Serving) -> Schema:
    params = params_schema(serving.contract)
    fields = {field: schema} | ({"params": params} if params is not None else {})
    if not serving.contract.refuse_unknown:
        # Fields that are ignored are others than this one.
        fields[_OTHER[field]] = NOTHING
    return object_of(fields, [field], closed=serving.contract.refuse_unknown)


def _answer(document: Description, word: str, serving: Serving) -> Schema:
    outputs = output_schemas(serving.contract, non_finite_is_null=serving.non_finite_is_null)
    closed = bool(outputs)
    row = object_of(outputs, list(outputs), closed=closed)
    columns = object_of(
        {name: list_of(schema) for name, schema in outputs.items()}, list(outputs), closed=closed
    )
    predictions = {
        "anyOf": [
            list_of(document.schema(f"{word}.Prediction", row)),
            document.schema(f"{word}.PredictionColumns", columns),
        ],
        "description": "Rows or columns, as the request has them",
    }
    names = dict.fromkeys(("model_name", "model_stage", "model_version"), _TEXT)
    fields = {"predictions": predictions, **names}
    return document.schema(f"{word}.PredictAnswer", object_of(fields, list(fields), closed=True))


def _examples(document: Description, word: str, serving: Serving) -> dict[str, Any]:
    """Return the version's input example in both forms."""
    body = example_of(serving.example)
    if not body:
        return {}
    found = {"rows": document.example(f"{word}.rows", "The model's input example", body)}
    columns = in_columns(serving.contract, body["instances"])
    if columns is not None:
        params = {"params": body["params"]} if "params" in body else {}
        value = {"columns": columns, **params}
        found["columns"] = document.example(f"{word}.columns", "The same by columns", value)
    return {"examples": found}
