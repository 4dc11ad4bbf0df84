"""`POST /predict`, and each model's: rows or columns in, predictions out.

Usual requests are answered by `direct`.
"""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from service.access.principal import Permission
from service.core.protocols import WireProtocol
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.deadline import deadline_of
from service.handlers.direct import RaiseAgain
from service.handlers.guards import plain_body
from service.handlers.media import CODECS, kind_of_answer, kind_of_body
from service.handlers.permissions import PERMISSION
from service.handlers.predictions.direct import PATHS
from service.serving.dataplane import DataPlane
from service.serving.interface import EncodedRequest


@post(
    list(PATHS),
    status_code=200,
    opt={PERMISSION: Permission.PREDICT},
    guards=[plain_body],
    middleware=[RaiseAgain()],
)
async def predict(
    request: Request[Any, Any, Any],
    body: RawBody,
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
    dataplane: NamedDependency[DataPlane],
) -> Response[bytes]:
    """Predict for rows or columns, by the version that serves when the request comes.

    What they hold is the served version's signature, which `GET /model/info` shows. The answer is
    of the request's kind, JSON or Arrow, unless `Accept` says otherwise.
    """
    # The body may have taken long: another deployment may have this name by now.
    deployment = deployments.latest(deployment)
    with dataplane.noting(deployment, WireProtocol.NATIVE):
        kind = kind_of_body(request.headers.get("content-type"))
        wanted = kind_of_answer(", ".join(request.headers.getall("accept", [])), kind)
        answer = await dataplane.infer(
            deployment,
            WireProtocol.NATIVE,
            EncodedRequest(body, CODECS[kind], CODECS[wanted]),
            caller_of(request.receive),
            deadline_of(request.scope),
        )
    return Response(content=answer.body, media_type=wanted.value, headers=answer.names.headers)
