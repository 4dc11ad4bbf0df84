"""How the calls about health, of what serves, and of operators are described."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from service.contracts.json_schema import Schema, list_of, object_of
from service.control.journal import KEPT_PROMOTIONS
from service.handlers.description import (
    Described,
    Description,
    Operation,
    json_answer,
    name_parameter,
    problems,
)

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_OBJECT: Schema = {"type": "object"}
_OBJECT_OR_NULL: Schema = {"type": ["object", "null"]}

_FORBIDDEN = {HTTPStatus.FORBIDDEN: "Under a name that is not this service's own"}
_NOT_FOUND = {
    HTTPStatus.NOT_FOUND: "No such model, or none is named and there is no default: `models` has "
    "the names"
}
_CHANGES = {
    HTTPStatus.UNAUTHORIZED: "Without the ADMIN_TOKEN; or from afar, and there is none",
    HTTPStatus.FORBIDDEN: "A web page may have made the call",
    HTTPStatus.NOT_FOUND: "No such model, or no such version",
    HTTPStatus.CONFLICT: "Refused: with its `verdicts`; superseded; or nothing is promoted",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed; its log says how",
    HTTPStatus.BAD_GATEWAY: "The registry can't be asked, or the version can't be fetched",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is ending",
    HTTPStatus.GATEWAY_TIMEOUT: "Not done within LOAD_TIMEOUT_S; it goes on",
}
_PIN = {
    HTTPStatus.BAD_REQUEST: "No version number",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Not JSON, or with a Content-Encoding",
}
_WEBHOOK = {
    HTTPStatus.BAD_REQUEST: "Stale, or accepted before: nothing was changed",
    HTTPStatus.UNAUTHORIZED: "Not signed with the WEBHOOK_SECRET: nothing was changed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "No event of MLflow's is that long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "With a Content-Encoding",
}
_CHANGED = object_of(
    dict.fromkeys(("status", "message", "stage", "model_version"), _TEXT),
    ["status", "message", "stage", "model_version"],
    closed=True,
)
_HEALTH = object_of(
    {
        "status": {"enum": ["healthy", "unhealthy"]},
        "model_loaded": {"type": "boolean"},
        "error": _TEXT,
        "degraded": _TEXT_OR_NULL,
        "model_name": _TEXT,
        "model_stage": _TEXT,
        "model_version": _TEXT_OR_NULL,
        "models": _OBJECT,
    },
    ["status", "model_loaded"],
    closed=False,
)
_MODELS = object_of(
    {
        "default": _TEXT_OR_NULL,
        "models": list_of(
            object_of(
                {
                    "name": _TEXT,
                    "model_name": _TEXT,
                    "model_stage": _TEXT,
                    "model_version": _TEXT_OR_NULL,
                    "status": {"enum": ["healthy", "unhealthy"]},
                    "error": _TEXT_OR_NULL,
                    "degraded": _TEXT_OR_NULL,
                },
                ["name", "model_name", "model_stage", "model_version", "status"],
                closed=False,
            )
        ),
    },
    ["default", "models"],
    closed=False,
)
_INFO = object_of(
    {
        "model_name": _TEXT,
        "model_stage": _TEXT,
        "model_version": _TEXT_OR_NULL,
        "loaded": {"type": "boolean"},
        "ref": _TEXT,
        "pin": _OBJECT_OR_NULL,
        "serving": _OBJECT_OR_NULL,
        "registry": _OBJECT,
        "versions": list_of(_OBJECT),
        "refused": list_of(_OBJECT),
        "promotions": list_of(_OBJECT),
    },
    ["model_name", "model_stage", "model_version", "loaded", "serving", "promotions"],
    closed=False,
)
_JOURNAL = object_of({"promotions": list_of(_OBJECT)}, ["promotions"], closed=False)
_VERSION: Schema = {
    "anyOf": [
        {"type": "string", "maxLength": 19},
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    ]
}
_PINNED = object_of({"version": _VERSION}, ["version"], closed=False)
_LIMIT: dict[str, Any] = {
    "name": "limit",
    "in": "query",
    "description": "How many promotions at most",
    "schema": {"type": "integer", "minimum": 1, "maximum": KEPT_PROMOTIONS, "default": 50},
}


def describe(document: Description, models: Sequence[Described]) -> None:
    """Add the calls that no protocol has."""
    _add_health(document, models)
    _add_reading(document, models)
    _add_changes(document, models)
    if document.takes_webhooks:
        _add_webhook(document)


def _add_health(document: Description, models: Sequence[Described]) -> None:
    health = document.schema("Health", _HEALTH)
    responses = {"200": json_answer("It can", health), "503": json_answer("Why not", health)}
    alive = object_of({"status": {"const": "alive"}}, ["status"], closed=False)
    document.add(
        "/health/live",
        "get",
        _operation("health", "live", "Is the process alive?", {"200": json_answer("It is", alive)}),
    )
    for path, called in (("/health", "health"), ("/health/ready", "health_ready")):
        document.add(path, "get", _operation("health", called, "Can it answer?", responses))
    text = {"schema": _TEXT}
    numbers = {
        "description": "The metrics of every model",
        "content": {"text/plain": text, "application/openmetrics-text": text},
    }
    document.add(
        "/metrics",
        "get",
        _operation(
            "health",
            "metrics",
            "What is counted, for Prometheus",
            {"200": numbers, **problems(document, "Read", _FORBIDDEN)},
        ),
    )
    operation = _operation(
        "health",
        "model_health",
        "Can this model answer?",
        {**responses, **problems(document, "Named", _NOT_FOUND)},
    )
    _add_named(document, models, "health", "get", operation)


def _add_reading(document: Description, models: Sequence[Described]) -> None:
    document.add(
        "/models",
        "get",
        _operation(
            "model",
            "models",
            "Which models are served",
            {
                "200": json_answer("Each by its name in paths", document.schema("Models", _MODELS)),
                **problems(document, "Read", _FORBIDDEN),
            },
        ),
    )
    meanings = {**_FORBIDDEN, **_NOT_FOUND}
    for end, called, summary, schema in (
        ("info", "info", "What serves, and how it came to", document.schema("Info", _INFO)),
        (
            "journal",
            "journal",
            "What was promoted, and what came of it",
            document.schema("Journal", _JOURNAL),
        ),
    ):
        faults = dict(meanings)
        extra = {}
        if end == "journal":
            faults[HTTPStatus.BAD_REQUEST] = "A limit that is out of bounds"
            extra = {"parameters": [_LIMIT]}
        responses = {
            "200": json_answer(summary, schema),
            **problems(document, "Read", faults),
        }
        operation = _operation("model", called, summary, responses) | extra
        document.add(f"/model/{end}", "get", operation)
        _add_named(document, models, end, "get", {**operation, "operationId": f"model_{called}"})


def _add_changes(document: Description, models: Sequence[Described]) -> None:
    changed = {"200": json_answer("Done", document.schema("Changed", _CHANGED))}
    faults = problems(document, "Change", _CHANGES)
    security: dict[str, Any] = {"security": [{"token": []}]} if document.token_wanted else {}
    reload = (
        _operation("operate", "reload", "Look at the registry now", changed | faults) | security
    )
    pin_faults = {status: _PIN.get(status, text) for status, text in (_CHANGES | _PIN).items()}
    pin = {
        **_operation(
            "operate",
            "pin",
            "Serve one version, whatever the registry says",
            changed | problems(document, "Change", pin_faults),
        ),
        **security,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": document.schema("Pin", _PINNED)}},
        },
    }
    unpin = _operation("operate", "unpin", "Follow the registry again", changed | faults) | security
    document.add("/reload-model", "post", reload)
    document.add("/model/pin", "post", pin)
    document.add("/model/pin", "delete", unpin)
    for end, method, operation in (
        ("reload", "post", reload),
        ("pin", "post", pin),
        ("pin", "delete", unpin),
    ):
        called = f"model_{operation['operationId']}"
        _add_named(document, models, end, method, {**operation, "operationId": called})


def _add_webhook(document: Description) -> None:
    status = object_of({"status": {"enum": ["looking", "ignored"]}}, ["status"], closed=True)
    header = {"in": "header", "required": True, "schema": _TEXT}
    operation = _operation(
        "operate",
        "mlflow_webhook",
        "Be told by MLflow that something moved",
        {
            "200": json_answer("Whether it is about a model of these", status),
            **problems(document, "Webhook", _WEBHOOK),
        },
    )
    operation["parameters"] = [
        {"name": f"x-mlflow-{name}", **header} for name in ("delivery-id", "timestamp", "signature")
    ]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _OBJECT}},
    }
    document.add("/webhooks/mlflow", "post", operation)


def _add_named(
    document: Description,
    models: Sequence[Described],
    end: str,
    method: str,
    operation: Operation,
) -> None:
    """Add the call of a named model."""
    parameters = [name_parameter(models), *operation.get("parameters", ())]
    document.add(f"/models/{{name}}/{end}", method, {**operation, "parameters": parameters})


def _operation(tag: str, called: str, summary: str, responses: dict[str, Any]) -> Operation:
    return {"operationId": called, "tags": [tag], "summary": summary, "responses": responses}
