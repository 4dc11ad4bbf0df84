"""`POST /predict`: rows in, predictions out."""

import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromHeader, RawBody

from service.core.errors import UnsupportedContentTypeError
from service.core.versions import ModelRef
from service.handlers.naming import version_headers
from service.serving.dataplane import DataPlane, Prediction


class PredictReply(msgspec.Struct):
    """The answer: one prediction for each instance, and which version gave them."""

    predictions: list[dict[str, object]]
    model_name: str
    model_stage: str
    model_version: str


@post(
    "/predict",
    status_code=200,
    tags=["predict"],
    summary="Predict",
    responses={200: ResponseSpec(PredictReply, description="Predictions", generate_examples=False)},
)
async def predict(
    body: RawBody,
    dataplane: NamedDependency[DataPlane],
    ref: NamedDependency[ModelRef],
    content_type: FromHeader[str | None] = None,
) -> Response[bytes]:
    """Predict for `{"instances": [...]}`, by the version that serves when the request comes.

    What an instance holds is the served version's signature, which `GET /model/info` shows.
    """
    _refuse_other_types(content_type)
    prediction = await dataplane.infer(body)
    return Response(
        content=_encoded(prediction, ref),
        media_type=MediaType.JSON,
        headers=version_headers(prediction.version),
    )


def _refuse_other_types(content_type: str | None) -> None:
    """Accept JSON, and a body that does not say what it is."""
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise UnsupportedContentTypeError(
            f"the content type is {kind!r}; send application/json "
            "(curl: -H 'content-type: application/json')"
        )


def _encoded(prediction: Prediction, ref: ModelRef) -> bytes:
    """Put the encoded predictions, untouched, into the reply."""
    encode = msgspec.json.encode
    return b'{"predictions":%b,"model_name":%b,"model_stage":%b,"model_version":%b}' % (
        prediction.predictions,
        encode(prediction.version.name),
        encode(ref.label),
        encode(prediction.version.version),
    )
