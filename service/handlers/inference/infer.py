"""`POST /v2/models/{name}/infer`: tensors in, tensors out, in JSON and behind it.

Requests that are not compressed are answered by `direct`.
"""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.core.protocols import WireProtocol
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.caller import caller_of
from service.handlers.compression import Compression, coding_of
from service.handlers.deadline import deadline_in, deadline_of, earlier
from service.handlers.direct import RaiseAgain
from service.handlers.inference.addressed import served, wanted_version
from service.handlers.inference.direct import DirectInference
from service.handlers.inference.faults import FAULTS
from service.handlers.permissions import PERMISSION
from service.serving.dataplane import DataPlane

_DIRECT = DirectInference()


@post(
    list(_DIRECT.paths),
    status_code=200,
    opt={PERMISSION: Permission.PREDICT},
    exception_handlers=FAULTS,
    middleware=[RaiseAgain()],
)
async def infer(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
    dataplane: NamedDependency[DataPlane],
    compression: NamedDependency[Compression],
) -> Response[Any]:
    """Answer by the version that serves when the request comes, or not at all if another is named.

    Its tensors are what `GET /v2/models/{name}` shows. Any content type is taken: clients of Triton
    send none.
    """
    wanted = wanted_version(request)
    with dataplane.noting(deployment, WireProtocol.OIP):
        served(deployment, wanted)
        encoding = ", ".join(request.headers.getall("content-encoding", []))
        coding_of(encoding)
        head = {
            name: ",".join(request.headers.getall(name.decode(), [])).encode("latin-1")
            for name in _DIRECT.headers
            if name.decode() in request.headers
        }
        chunks = [chunk async for chunk in request.stream()]
        chunks = [*await compression.inflated(chunks, encoding)]
        # The body may have taken long: another deployment may have this name by now.
        deployment = deployments.latest(deployment)
        encoded, timeout_s = _DIRECT.request(head, chunks, deployment)
        del chunks
        answered = await dataplane.infer(
            deployment,
            WireProtocol.OIP,
            encoded,
            caller_of(request.receive),
            earlier(deadline_of(request.scope), deadline_in(timeout_s)),
            wanted,
        )
    answer = _DIRECT.answer(head, answered)
    if answer.coding:
        answer = await compression.applied(answer)
    return answer.response()
