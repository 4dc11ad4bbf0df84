"""`GET /ping` and `GET /version`, as MLflow's scoring server has them."""

from http import HTTPStatus

from litestar import Response, get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.core.errors import NoVersionError
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.guards import ANY_HOST
from service.handlers.permissions import PERMISSION
from service.readiness import readiness_of, why_not_ready


@get(
    "/ping",
    opt={ANY_HOST: True, PERMISSION: Permission.OPEN},
)
async def ping(deployments: NamedDependency[Deployments]) -> Response[bytes]:
    """Answer 200 where `/health` does, else 404, with an empty line, as MLflow's own server."""
    known = {name: readiness_of(one) for name, one in deployments.items()}
    status = HTTPStatus.NOT_FOUND if why_not_ready(deployments, known) else HTTPStatus.OK
    return Response(b"\n", status_code=int(status), media_type="application/json")


@get("/version", opt={PERMISSION: Permission.ANY})
async def version(deployment: NamedDependency[Deployment]) -> Response[bytes]:
    """Answer with the version of MLflow in the default model's workers, without quotes."""
    model = deployment.routes.current
    if model is None:
        raise NoVersionError("no version of the model can answer yet")
    return Response(model.loaded.mlflow_version.encode(), media_type="application/json")
