"""Which version a call is about: the one that serves, and no other one."""

from typing import Any

from litestar import Request

from service.core.errors import NoVersionError
from service.deployment import Deployment
from service.serving.model import LoadedModel
from service.serving.named_version import check_version

CALLED = "{name:str}"
VERSIONED = "{name:str}/versions/{version:str}"


def paths(end: str) -> list[str]:
    """Return the paths of a call about a model, without and with a version."""
    return [f"/v2/models/{CALLED}{end}", f"/v2/models/{VERSIONED}{end}"]


def wanted_version(request: Request[Any, Any, Any]) -> str:
    """Return the version that a path names, '' where it names none."""
    version: str = request.path_params.get("version", "")
    return version


def served(deployment: Deployment, wanted: str | None) -> LoadedModel:
    """Return what serves. Raise NoVersionError, and UnknownVersionError for another version."""
    model = deployment.routes.current
    if model is None:
        raise NoVersionError(f"no version of {deployment.name} serves: {deployment.why_not}")
    check_version(deployment.name, wanted, model.version)
    return model
