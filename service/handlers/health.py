"""`GET /health` and its two halves: is the process alive, can it answer."""

from http import HTTPStatus
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from service.core.redaction import redact
from service.core.versions import ModelRef
from service.serving.slot import Slot
from service.settings import Settings
from service.telemetry.monitor import StateMonitor


@get("/health/live", tags=["health"], summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answer: whoever reads this has an answer."""
    return {"status": "alive"}


@get(
    ["/health", "/health/ready"],
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
) -> Response[dict[str, Any]]:
    """Answer 200 while some worker that lives has a version loaded, else 503 with the reason."""
    model = slot.current
    age_s = monitor.registry_age_s
    about: dict[str, Any] = {
        "model_name": model.version.name if model else ref.name or settings.model_name,
        "model_stage": ref.label,
        "mlflow_uri": redact(settings.mlflow_tracking_uri),
        "registry_age_s": None if age_s is None else round(age_s, 3),
        "registry_error": monitor.registry_error or None,
    }
    if model is not None and model.can_answer:
        promoted = monitor.promoted
        body = {
            "status": "healthy",
            "model_loaded": True,
            **about,
            "model_version": model.version.version,
            "promoted_version": promoted.version if promoted else None,
        }
        return Response(body, status_code=HTTPStatus.OK)
    error = "no worker of the serving version answers" if model else _why_none(monitor, ref)
    body = {"status": "unhealthy", "model_loaded": False, "error": error, **about}
    return Response(body, status_code=HTTPStatus.SERVICE_UNAVAILABLE)


def _why_none(monitor: StateMonitor, ref: ModelRef) -> str:
    """Say why no version serves yet."""
    if not monitor.has_looked:
        return monitor.registry_error or "the registry was not seen yet"
    if monitor.promoted is None:
        return f"nothing is promoted at {ref.uri}"
    for status in monitor.statuses():
        if status.version == monitor.promoted:
            reason = f": {status.reason}" if status.reason else ""
            return f"version {status.version.version} is {status.state}{reason}"
    return f"version {monitor.promoted.version} is to be loaded"
