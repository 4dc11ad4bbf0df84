"""How the calls of MLflow's scoring protocol are described in the OpenAPI schema."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from service.codecs.catalog import SCORING
from service.handlers.scoring.faults import ScoringFault

_FAULTS = {
    HTTPStatus.BAD_REQUEST: "What MLflow refuses, or the model raised",
    HTTPStatus.NOT_FOUND: "No such model, or none is named and there is no default",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Over MAX_BODY_BYTES, or far more once decoded",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The model's answer can't be written, or its process ended",
    HTTPStatus.SERVICE_UNAVAILABLE: "No version can answer, or too much is asked",
    HTTPStatus.GATEWAY_TIMEOUT: "No answer within REQUEST_TIMEOUT_S",
}
_ROWS = Schema(type=OpenAPIType.ARRAY)
_ROWS_OR_COLUMNS = Schema(description="Rows, or an object of columns")
_SPLIT = Schema(
    type=OpenAPIType.OBJECT,
    required=["data"],
    properties={"data": _ROWS, "columns": _ROWS, "index": _ROWS},
)
_TABLES = {
    "dataframe_split": _SPLIT,
    "dataframe_records": _ROWS,
    "instances": _ROWS_OR_COLUMNS,
    "inputs": Schema(description="Rows, an object of columns, or tensors"),
}
_CHAT = ("messages", "prompt", "input")


def scoring_responses() -> dict[int, ResponseSpec]:
    """Describe what `/invocations` answers."""
    faults = {
        int(status): ResponseSpec(ScoringFault, description=meaning, generate_examples=False)
        for status, meaning in _FAULTS.items()
    }
    return {
        200: ResponseSpec(
            dict[str, Any],
            description="`predictions`; for a chat form what the model answers, without it",
            generate_examples=False,
        ),
        **faults,
        int(HTTPStatus.UNSUPPORTED_MEDIA_TYPE): ResponseSpec(
            str,
            description="Neither JSON, CSV nor Parquet, or with a Content-Encoding",
            generate_examples=False,
            media_type="text/plain",
        ),
    }


def line_responses(meanings: dict[HTTPStatus, str]) -> dict[int, ResponseSpec]:
    """Describe answers that are a line of text, though MLflow calls it JSON."""
    return {
        int(status): ResponseSpec(str, description=meaning, generate_examples=False)
        for status, meaning in meanings.items()
    }


@dataclass
class ScoringOperation(Operation):
    """Adds the bodies of `/invocations`; what their values may be, MLflow decides in the worker."""

    def __post_init__(self) -> None:
        """Describe the three kinds of body."""
        params = Schema(type=OpenAPIType.OBJECT, description="The model's parameters")
        forms = [
            Schema(
                type=OpenAPIType.OBJECT,
                title=name,
                required=[name],
                properties={name: schema, "params": params},
            )
            for name, schema in _TABLES.items()
        ]
        forms += [Schema(type=OpenAPIType.OBJECT, title=name, required=[name]) for name in _CHAT]
        json, csv, parquet = SCORING.values()
        self.request_body = RequestBody(
            required=True,
            content={
                json: OpenAPIMediaType(schema=Schema(any_of=forms)),
                csv: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)),
                parquet: OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, content_media_type=parquet)
                ),
            },
        )
