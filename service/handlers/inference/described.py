"""How a request for predictions is described in the OpenAPI schema."""

from dataclasses import dataclass

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

from service.codecs.inference.datatypes import KNOWN

_TEXT = Schema(type=OpenAPIType.STRING)
_PARAMETERS = Schema(type=OpenAPIType.OBJECT)
_SHAPE = Schema(
    type=OpenAPIType.ARRAY,
    min_items=1,
    items=Schema(type=OpenAPIType.INTEGER, minimum=1),
    description="Rows first",
)
_BINARY = "JSON, then binary tensors; the header Inference-Header-Content-Length parts them"


@dataclass
class InferOperation(Operation):
    """Adds the bodies and answers; only the served version can tell their tensors."""

    def __post_init__(self) -> None:
        """Describe both forms of body, and of answer."""
        self.request_body = RequestBody(
            required=True,
            content={
                "application/json": OpenAPIMediaType(schema=_request()),
                "application/octet-stream": _binary(),
            },
        )
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            answer.content["application/json"] = OpenAPIMediaType(schema=_answer())
            answer.content["application/octet-stream"] = _binary()


def _request() -> Schema:
    return Schema(
        type=OpenAPIType.OBJECT,
        required=["inputs"],
        properties={
            "id": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL]),
            "parameters": Schema(type=[OpenAPIType.OBJECT, OpenAPIType.NULL]),
            "inputs": Schema(type=OpenAPIType.ARRAY, min_items=1, items=_tensor()),
            "outputs": Schema(
                type=[OpenAPIType.ARRAY, OpenAPIType.NULL],
                items=Schema(
                    type=OpenAPIType.OBJECT,
                    required=["name"],
                    properties={"name": _TEXT, "parameters": _PARAMETERS},
                ),
            ),
        },
    )


def _answer() -> Schema:
    return Schema(
        type=OpenAPIType.OBJECT,
        required=["model_name", "model_version", "outputs"],
        properties={
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _PARAMETERS,
            "outputs": Schema(type=OpenAPIType.ARRAY, items=_tensor()),
        },
    )


def _tensor() -> Schema:
    return Schema(
        type=OpenAPIType.OBJECT,
        required=["name", "shape", "datatype"],
        properties={
            "name": _TEXT,
            "shape": _SHAPE,
            "datatype": Schema(type=OpenAPIType.STRING, enum=list(KNOWN)),
            "parameters": _PARAMETERS,
            "data": Schema(
                type=OpenAPIType.ARRAY,
                description="Elements in row-major order, flat or nested; none if it is binary",
            ),
        },
    )


def _binary() -> OpenAPIMediaType:
    return OpenAPIMediaType(
        schema=Schema(
            type=OpenAPIType.STRING,
            content_media_type="application/octet-stream",
            description=_BINARY,
        )
    )
