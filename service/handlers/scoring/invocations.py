"""`POST /invocations`, and the same under the paths that other clients of MLflow's have for it."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.codecs.catalog import SCORING
from service.core.errors import UnsupportedContentTypeError
from service.core.protocols import WireProtocol
from service.core.text import presentable
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.deadline import deadline_of
from service.handlers.direct import RaiseAgain
from service.handlers.guards import plain_body
from service.handlers.permissions import PERMISSION
from service.handlers.scoring.direct import PATHS, DirectScoring
from service.handlers.scoring.faults import FAULTS
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest

_CODECS = {kind: codec for codec, kind in SCORING.items()}
_DIRECT = DirectScoring()
_UTF_8 = frozenset({"utf-8", "utf8"})


@post(
    list(PATHS),
    status_code=200,
    opt={PERMISSION: Permission.PREDICT},
    guards=[plain_body],
    exception_handlers=FAULTS,
    middleware=[RaiseAgain()],
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
    with dataplane.noting(deployment, WireProtocol.MLFLOW):
        codec = codec_of(request.headers.get("content-type"))
        body = await request.body()
        answer = await dataplane.infer(
            # The body may have taken long: another deployment may have this name by now.
            deployments.latest(deployment),
            WireProtocol.MLFLOW,
            EncodedRequest(body, codec, codec),
            caller_of(request.receive),
            deadline_of(request.scope),
        )
    return _DIRECT.answer({}, answer).response()


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
