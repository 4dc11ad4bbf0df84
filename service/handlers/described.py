"""How the calls are described in the OpenAPI schema, where the framework can't see it."""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from service.handlers.problems import MEDIA_TYPE


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
    """Adds the body of `/predict`, whose instances only the served version can describe."""

    def __post_init__(self) -> None:
        """Describe the body."""
        instances = Schema(
            type=OpenAPIType.ARRAY,
            min_items=1,
            items=Schema(description="As the signature has it that GET /model/info shows"),
        )
        params = Schema(
            type=[OpenAPIType.OBJECT, OpenAPIType.NULL],
            description="The model's parameters, where its signature has any",
        )
        body = Schema(
            type=OpenAPIType.OBJECT,
            required=["instances"],
            properties={"instances": instances, "params": params},
        )
        self.request_body = RequestBody(
            required=True, content={"application/json": OpenAPIMediaType(schema=body)}
        )
