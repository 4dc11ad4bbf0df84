"""`GET /models`: what is served, by name; and which of them a call is about."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.permissions import PERMISSION, chosen, principal_in, visible
from service.readiness import readiness_of


def chosen_deployment(
    request: Request[Any, Any, Any], deployments: NamedDependency[Deployments]
) -> Deployment:
    """Return the deployment that a path names, or else the default one.

    Raise PermissionDeniedError, UnknownModelError or NoDefaultModelError.
    """
    return chosen(deployments, principal_in(request.scope), request.path_params.get("name"))


@get("/models", opt={PERMISSION: Permission.ANY})
async def models(
    request: Request[Any, Any, Any], deployments: NamedDependency[Deployments]
) -> dict[str, Any]:
    """Answer with each model that the caller may use, under the name that its paths have."""
    shown = visible(deployments, principal_in(request.scope))
    default = deployments.find("")
    return {
        "default": default.name if default is not None and default.name in shown else None,
        "models": [_listed(one) for one in shown.values()],
    }


def _listed(deployment: Deployment) -> dict[str, Any]:
    known = readiness_of(deployment)
    return {
        "name": deployment.name,
        "model_name": deployment.model_name,
        "model_stage": deployment.label,
        "model_version": known.version,
        "status": "unhealthy" if known.error else "healthy",
        "error": known.error or None,
        "degraded": known.degraded or None,
    }
