"""`GET /health` and its two halves: is the process alive, can it answer."""

from http import HTTPStatus
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from service.control.journal import Journal
from service.control.monitor import StateMonitor
from service.core.redaction import redact
from service.core.versions import ModelRef
from service.handlers.guards import ANY_HOST
from service.serving.model import LoadedModel
from service.serving.slot import Slot
from service.settings.settings import Settings


@get("/health/live", opt={ANY_HOST: True}, tags=["health"], summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answer: whoever reads this has an answer."""
    return {"status": "alive"}


@get(
    ["/health", "/health/ready"],
    opt={ANY_HOST: True},
    tags=["health"],
    summary="Can a version answer?",
    responses={
        503: ResponseSpec(
            dict[str, Any], description="No, and why: `error`", generate_examples=False
        )
    },
)
async def health(
    slot: NamedDependency[Slot],
    ref: NamedDependency[ModelRef],
    monitor: NamedDependency[StateMonitor],
    settings: NamedDependency[Settings],
    journal: NamedDependency[Journal],
) -> Response[dict[str, Any]]:
    """Answer 200 while some worker that lives has a version loaded, else 503 with the reason."""
    model = slot.current
    age_s = monitor.registry_age_s
    about: dict[str, Any] = {
        "model_name": model.version.name if model else ref.name or settings.model_name,
        "model_stage": ref.label,
        "mlflow_uri": redact(settings.mlflow_tracking_uri),
        "promoted_version": monitor.promoted.version if monitor.promoted else None,
        "pinned_version": monitor.pin.version if monitor.pin else None,
        "registry_age_s": None if age_s is None else round(age_s, 3),
        "registry_last_seen": monitor.last_good_look_at,
        "registry_error": monitor.registry_error or None,
    }
    if monitor.draining:
        error = "the service is ending"
    elif model is None:
        error = _why_not(monitor, ref)
    elif not model.can_answer:
        error = "no worker of the serving version answers"
        if model.pool.trouble:
            error += f", and none can be started: {model.pool.trouble}"
    else:
        body = {
            "status": "healthy",
            "model_loaded": True,
            **about,
            "model_version": model.version.version,
            "degraded": _degraded(model, monitor, ref, journal) or None,
        }
        return Response(body, status_code=HTTPStatus.OK)
    body = {"status": "unhealthy", "model_loaded": False, "error": error, **about}
    return Response(body, status_code=HTTPStatus.SERVICE_UNAVAILABLE)


def _degraded(model: LoadedModel, monitor: StateMonitor, ref: ModelRef, journal: Journal) -> str:
    """Say all that is not as it should be, '' where everything is."""
    is_wanted = model.version == (monitor.pin or monitor.promoted)
    not_served = "" if is_wanted else _why_not(monitor, ref)
    stuck = f"a worker can't be started: {model.pool.trouble}" if model.pool.trouble else ""
    troubles = (*monitor.troubles, journal.trouble)
    return "; ".join(filter(None, (monitor.held or not_served, stuck, *troubles)))


def _why_not(monitor: StateMonitor, ref: ModelRef) -> str:
    """Say why what is wanted does not serve."""
    if monitor.held:
        return monitor.held
    wanted = monitor.pin or monitor.promoted
    if wanted is None:
        if not monitor.has_looked:
            return monitor.registry_error or "the registry was not seen yet"
        return f"nothing is promoted at {ref.uri}"
    if (refused := monitor.refused.get(wanted)) is not None:
        return f"version {wanted.version} was refused: {refused}"
    for status in monitor.statuses():
        if status.version == wanted:
            reason = f": {status.reason}" if status.reason else ""
            return f"version {status.version.version} is {status.state}{reason}"
    return f"version {wanted.version} is to be loaded"
