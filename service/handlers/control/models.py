"""`GET /models`: what is served, by name; and which of them a call is about."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency

from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.readiness import readiness_of


def chosen_deployment(
    request: Request[Any, Any, Any], deployments: NamedDependency[Deployments]
) -> Deployment:
    """Return the deployment that a path names, or else the default one.

    Raise UnknownModelError or NoDefaultModelError.
    """
    name = request.path_params.get("name")
    return deployments.default if name is None else deployments.named(name)


@get("/models")
async def models(deployments: NamedDependency[Deployments]) -> dict[str, Any]:
    """Answer with each model under the name that its paths have."""
    default = deployments.find("")
    return {
        "default": default.name if default is not None else None,
        "models": [_listed(one) for one in deployments.values()],
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
