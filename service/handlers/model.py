"""`GET /model/info` and `POST /reload-model`."""

from http import HTTPStatus
from typing import Any

import anyio
import msgspec
from litestar import get, post
from litestar.di import NamedDependency

from service.core.errors import ReloadTimeoutError
from service.core.redaction import redact
from service.core.versions import ModelRef, ModelVersion
from service.handlers.described import problem_responses
from service.handlers.guards import administrators
from service.handlers.journal import told
from service.serving.desired import DesiredState
from service.serving.journal import Journal
from service.serving.model import LoadedModel
from service.serving.slot import Slot
from service.settings import Settings
from service.telemetry.monitor import StateMonitor

_SHOWN_PROMOTIONS = 20


class ReloadReply(msgspec.Struct):
    """What a reload came to."""

    status: str
    message: str
    stage: str
    model_version: str


@get("/model/info", tags=["model"], summary="What serves, and how it came to")
async def info(
    slot: NamedDependency[Slot],
    ref: NamedDependency[ModelRef],
    monitor: NamedDependency[StateMonitor],
    journal: NamedDependency[Journal],
    settings: NamedDependency[Settings],
) -> dict[str, Any]:
    """Answer with all that is known of what serves, what is promoted, and what was tried."""
    model = slot.current
    age_s = monitor.registry_age_s
    return {
        "model_name": model.version.name if model else ref.name or settings.model_name,
        "model_stage": ref.label,
        "model_version": model.version.version if model else None,
        "tracking_uri": redact(settings.mlflow_tracking_uri),
        "loaded": model is not None and model.can_answer,
        "ref": redact(ref.uri),
        "serving": _serving(model) if model else None,
        "registry": {
            "promoted_version": monitor.promoted.version if monitor.promoted else None,
            "last_good_look_at": monitor.last_good_look_at,
            "age_s": None if age_s is None else round(age_s, 3),
            "error": monitor.registry_error or None,
        },
        "versions": [
            {
                **_named(status.version),
                "state": status.state,
                "since": status.since,
                "reason": status.reason or None,
            }
            for status in monitor.statuses()
        ],
        "promotions": [told(promotion) for promotion in journal.last(_SHOWN_PROMOTIONS)],
    }


@post(
    "/reload-model",
    status_code=200,
    guards=[administrators],
    tags=["model"],
    summary="Look at the registry now",
    responses=problem_responses(
        {
            HTTPStatus.UNAUTHORIZED: "From beyond loopback, without the ADMIN_TOKEN",
            HTTPStatus.CONFLICT: "Refused: with its `verdicts`; superseded; or nothing is promoted",
            HTTPStatus.BAD_GATEWAY: "The registry can't be asked",
            HTTPStatus.GATEWAY_TIMEOUT: "Not done within LOAD_TIMEOUT_S; it goes on",
        }
    ),
)
async def reload_model(
    desired: NamedDependency[DesiredState],
    ref: NamedDependency[ModelRef],
    settings: NamedDependency[Settings],
) -> ReloadReply:
    """Look at the registry now, and answer once what it promotes serves or was refused.

    Nothing that serves already is loaded again. A refused version gets another try.
    """
    wish = desired.reload()
    try:
        with anyio.fail_after(settings.load_timeout_s):
            version = await wish.settled()
    except TimeoutError:
        raise ReloadTimeoutError(
            f"not done within {settings.load_timeout_s:g} s (LOAD_TIMEOUT_S); it goes on"
        ) from None
    finally:
        desired.withdraw(wish)
    verb = "now serves" if wish.loaded else "served already"
    return ReloadReply("success", f"version {version.version} {verb}", ref.label, version.version)


def _serving(model: LoadedModel) -> dict[str, Any]:
    pool, batching = model.pool, model.batcher.settings
    return {
        **_named(model.version),
        "digest": model.stored.digest,
        "since": model.serving_since,
        "signature": model.contract.signature,
        "mlflow_version": model.loaded.mlflow_version,
        "python_version": model.loaded.python_version,
        "batched": model.batcher.row_wise,
        "requests": model.leases,
        "waiting_requests": model.batcher.waiting,
        "pool": {
            "workers": pool.settings.workers,
            "alive": pool.size,
            "pids": pool.pids,
            "threads_per_worker": pool.settings.threads,
            "restarts": pool.restarts,
            "load_timeout_s": pool.settings.load_timeout_s,
            "request_timeout_s": batching.request_timeout_s,
            "max_batch_rows": batching.max_rows,
            "max_batch_wait_ms": batching.max_wait_s * 1000,
        },
    }


def _named(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "run_id": version.run_id or None,
        "source": redact(version.source),
    }
