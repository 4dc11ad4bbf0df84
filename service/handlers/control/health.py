"""`GET /health` and its two halves: is the process alive, can it answer; and each model's."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from litestar import Request, Response, get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.core.redaction import redact
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.guards import ANY_HOST
from service.handlers.permissions import PERMISSION, principal_in, visible
from service.readiness import NOT_TOLD, Readiness, readiness_of, why_not_ready


class Troubled(Protocol):
    """A part of the service that goes by what it knew before, where what is new can't be used."""

    @property
    def trouble(self) -> str:
        """Why it does; '' where it does not."""
        ...


class Troubles:
    """What is wrong with parts of the service that belong to no model."""

    def __init__(self, parts: Sequence[Troubled]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        return (part.trouble for part in self._parts if part.trouble)


@get("/health/live", opt={ANY_HOST: True, PERMISSION: Permission.OPEN})
async def live() -> dict[str, str]:
    """Answer: whatever reads this has an answer."""
    return {"status": "alive"}


@get(
    ["/health", "/health/ready"],
    opt={ANY_HOST: True, PERMISSION: Permission.HEALTH},
)
async def health(
    request: Request[Any, Any, Any],
    deployments: NamedDependency[Deployments],
    troubles: NamedDependency[Troubles],
) -> Response[dict[str, Any]]:
    """Answer 200 while the default model can answer, else 503 with the reason.

    Without a default any model will do; READY_WHEN=all wants every one. Each model is in `models`,
    as far as the caller may know of it.
    """
    all_of_them = {name: readiness_of(one) for name, one in deployments.items()}
    error = why_not_ready(deployments, all_of_them)
    principal = principal_in(request.scope)
    shown = visible(deployments, principal)
    if len(shown) < len(all_of_them):
        # The reason may name others.
        error = error and NOT_TOLD
    if not principal.may(Permission.READ):
        return _answer(_status(error), error)
    default = deployments.find("")
    told = {}
    if default is not None and default.name in shown:
        told = _told(default, all_of_them[default.name])
    wrong = filter(None, (told.get("degraded"), deployments.trouble, *troubles))
    body = {
        **told,
        **_status(error),
        "degraded": "; ".join(wrong) or None,
        "models": {
            name: {**_status(known.error), "model_version": known.version}
            | ({"degraded": known.degraded} if known.degraded else {})
            for name, known in all_of_them.items()
            if name in shown
        },
    }
    return _answer(body, error)


@get(
    "/models/{name:str}/health",
    opt={ANY_HOST: True, PERMISSION: Permission.ANY},
)
async def model_health(
    deployment: NamedDependency[Deployment], deployments: NamedDependency[Deployments]
) -> Response[dict[str, Any]]:
    """Answer 200 while some worker that lives has a version of it loaded, else 503 with why not."""
    known = readiness_of(deployment)
    error = "the service is ending" if deployments.draining else known.error
    return _answer({**_told(deployment, known), **_status(error)}, error)


def _answer(body: dict[str, Any], error: str) -> Response[dict[str, Any]]:
    status = HTTPStatus.SERVICE_UNAVAILABLE if error else HTTPStatus.OK
    return Response(body, status_code=status)


def _status(error: str) -> dict[str, Any]:
    """Return the beginning of an answer: green, or red and why."""
    if not error:
        return {"status": "healthy", "model_loaded": True}
    return {"status": "unhealthy", "model_loaded": False, "error": error}


def _told(deployment: Deployment, known: Readiness) -> dict[str, Any]:
    """Return all that is known of whether a model can answer."""
    status = deployment.status
    registry, age_s = status.registry, status.registry.age_s
    return {
        "model_name": deployment.model_name,
        "model_stage": deployment.label,
        "mlflow_uri": redact(deployment.address.tracking_uri),
        "promoted_version": registry.promoted.version if registry.promoted else None,
        "pinned_version": status.pin.version if status.pin else None,
        "registry_age_s": None if age_s is None else round(age_s, 3),
        "registry_last_seen": registry.seen_at,
        "registry_error": registry.error or None,
        "model_version": known.version,
        "degraded": known.degraded or None,
    }
