"""`POST /invocations`, and the same under the paths that other clients of MLflow's have for it."""

from typing import Any
from urllib.parse import quote

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from service.codecs.catalog import SCORING
from service.core.errors import ServiceError, UnsupportedContentTypeError
from service.core.text import presentable
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.early_refusal import refuse_early
from service.handlers.guards import plain_body
from service.handlers.scoring.faults import answer_scoring_error, answer_scoring_http_error
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest

PATHS = (
    "/invocations",
    "/models/{name:str}/invocations",
    "/endpoints/{name:str}/invocations",
    "/serving-endpoints/{name:str}/invocations",
)
"""MLflow's own and ours; then that of AWS' client and MLflow's gateway, and that of Databricks'."""
_CODECS = {kind: codec for codec, kind in SCORING.items()}
_UTF_8 = frozenset({"utf-8", "utf8"})


@post(
    list(PATHS),
    status_code=200,
    guards=[plain_body],
    exception_handlers={
        ServiceError: answer_scoring_error,
        HTTPException: answer_scoring_http_error,
    },
)
async def invocations(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
    dataplane: NamedDependency[DataPlane],
) -> Response[bytes]:
    """Answer as `mlflow models serve` would, by the version that serves when the request comes.

    The body is JSON with one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`,
    CSV or Parquet. What is taken and how it is cast belong to the MLflow beside the model.
    """
    codec = codec_of(request.headers.get("content-type"))
    refuse_early(request, deployment, dataplane)
    body = await request.body()
    # The body may have taken long: another deployment may have this name by now.
    deployment = deployments.latest(deployment)
    answer = await dataplane.infer(
        deployment, EncodedRequest(body, codec, codec), caller_of(request.receive)
    )
    headers = dict(answer.names.headers)
    if answer.client_request_id:
        headers["x-client-request-id"] = quote(answer.client_request_id)
    return Response(answer.body, media_type="application/json", headers=headers)


def codec_of(content_type: str | None) -> str:
    """Return the codec of a body of this kind, as MLflow reads the header.

    But for letters' case and quotes around the charset, which MLflow takes amiss. Raise
    UnsupportedContentTypeError for another kind or charset, for other parameters, and for none.
    """
    kind, *parameters = (part.strip() for part in (content_type or "").split(";"))
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name.strip().lower() != "charset":
            raise UnsupportedContentTypeError(
                f"Unrecognized content type parameters: {presentable(name, 80)}."
            )
        if value.strip().strip('"').lower() not in _UTF_8:
            raise UnsupportedContentTypeError("The scoring server only supports UTF-8")
    codec = _CODECS.get(kind.lower())
    if codec is None:
        raise UnsupportedContentTypeError(
            "This predictor only supports the following content types:"
            f" Types: {list(_CODECS)}. Got '{presentable(content_type or '', 80)}'."
        )
    return codec
