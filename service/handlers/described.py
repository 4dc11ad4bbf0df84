"""How the calls are described in the OpenAPI schema, where the framework can't see it."""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

from service.handlers.media import Media
from service.handlers.problems import MEDIA_TYPE

NOT_FOUND = "No such model, or none is named and there is no default: `models` has the names"


class Problem(msgspec.Struct):
    """Problem details (RFC 9457). Some types have more members, such as `path` and `row`."""

    type: str
    title: str
    status: int
    detail: str


def problem_responses(meanings: dict[HTTPStatus, str]) -> dict[int, ResponseSpec]:
    """Describe the errors of a call."""
    return {
        int(status): ResponseSpec(
            Problem, description=meaning, generate_examples=False, media_type=MEDIA_TYPE
        )
        for status, meaning in meanings.items()
    }


@dataclass
class PredictOperation(Operation):
    """Adds the bodies and answers of `/predict`; only the served version can tell their columns."""

    def __post_init__(self) -> None:
        """Describe the bodies, and the kind of answer that the framework does not know of."""
        self.request_body = RequestBody(required=True, content=predict_bodies())
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            answer.content[Media.ARROW.value] = _arrow("One batch with a column for each output")


def predict_bodies() -> dict[str, OpenAPIMediaType]:
    """Return the bodies that `/predict` takes: rows or columns in JSON, and an Arrow stream."""
    value = Schema(description="As the signature has it that GET /model/info shows")
    values = Schema(type=OpenAPIType.ARRAY, min_items=1, items=value)
    columns = Schema(
        type=OpenAPIType.OBJECT,
        additional_properties=values,
        description="All of one length; not for a model whose inputs have no names",
    )
    params = Schema(
        type=[OpenAPIType.OBJECT, OpenAPIType.NULL],
        description="The model's parameters, where its signature has any",
    )
    forms = [
        Schema(
            type=OpenAPIType.OBJECT,
            title=title,
            required=[name],
            properties={name: schema, "params": params},
        )
        for title, name, schema in (("Rows", "instances", values), ("Columns", "columns", columns))
    ]
    return {
        Media.JSON.value: OpenAPIMediaType(schema=Schema(one_of=forms)),
        Media.ARROW.value: _arrow(
            "A column for each input; `hotswap.params` in the schema's metadata is params as JSON"
        ),
    }


def _arrow(description: str) -> OpenAPIMediaType:
    """Describe an Arrow IPC stream, for which OpenAPI has no more words than these."""
    return OpenAPIMediaType(
        schema=Schema(
            type=OpenAPIType.STRING,
            content_media_type=Media.ARROW.value,
            description=f"An Arrow IPC stream. {description}",
        )
    )
