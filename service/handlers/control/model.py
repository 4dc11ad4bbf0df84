"""`GET /model/info`, `POST /reload-model`, and `/model/pin`."""

from http import HTTPStatus
from typing import Annotated, Any

import anyio
import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import RawBody

from service.control.desired import DesiredState, Wish
from service.control.journal import Journal
from service.control.monitor import StateMonitor
from service.core.errors import (
    ContractViolationError,
    MalformedBodyError,
    ReloadTimeoutError,
)
from service.core.redaction import redact
from service.core.text import LISTED_CHARACTERS, bounded
from service.core.versions import ModelRef, ModelVersion
from service.handlers.control.journal import told
from service.handlers.described import problem_responses
from service.handlers.guards import administrators, plain_body, require_json
from service.serving.model import LoadedModel
from service.serving.slot import Slot
from service.settings.settings import Settings

_SHOWN_PROMOTIONS = 20
_SHOWN_REFUSALS = 20
_SIGNATURE_BYTES = 262_144
"""A longer signature is not shown: this is one of some thousand columns."""


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
        "pin": _named(monitor.pin) if monitor.pin else None,
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
                "reason": bounded(status.reason, LISTED_CHARACTERS) or None,
            }
            for status in monitor.statuses()
        ],
        "refused": [
            {**_named(version), "reason": bounded(reason, LISTED_CHARACTERS)}
            for version, reason in [*monitor.refused.items()][-_SHOWN_REFUSALS:]
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
            HTTPStatus.UNAUTHORIZED: "Without the ADMIN_TOKEN; or from afar, and there is none",
            HTTPStatus.FORBIDDEN: "A web page may have made the call",
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
    version = await _fulfilled(wish, desired, settings)
    verb = "now serves" if wish.loaded else "served already"
    return ReloadReply("success", f"version {version.version} {verb}", ref.label, version.version)


@post(
    "/model/pin",
    status_code=200,
    guards=[administrators, plain_body],
    tags=["model"],
    summary="Serve one version, whatever the registry says",
)
async def pin(
    request: Request[Any, Any, Any],
    body: RawBody,
    desired: NamedDependency[DesiredState],
    ref: NamedDependency[ModelRef],
    settings: NamedDependency[Settings],
) -> ReloadReply:
    """Serve `{"version": "1"}` until it is unpinned, through the same gates as any other.

    It is pinned across restarts. A version that a gate refuses is not pinned.
    """
    require_json(request)
    number = pin_wish(body)
    version = await _fulfilled(desired.pin(number), desired, settings)
    message = f"version {version.version} is pinned and serves"
    return ReloadReply("success", message, ref.label, version.version)


@delete(
    "/model/pin",
    status_code=200,
    guards=[administrators],
    tags=["model"],
    summary="Follow the registry again",
)
async def unpin(
    desired: NamedDependency[DesiredState],
    ref: NamedDependency[ModelRef],
    settings: NamedDependency[Settings],
) -> ReloadReply:
    """Take the pin away, and answer once what the registry promotes serves or was refused."""
    version = await _fulfilled(desired.unpin(), desired, settings)
    message = f"the registry is followed again: version {version.version} serves"
    return ReloadReply("success", message, ref.label, version.version)


class _PinBody(msgspec.Struct):
    # Bounded before anything is made of them: 19 digits are what a 64-bit integer has.
    version: (
        Annotated[str, msgspec.Meta(max_length=19)]
        | Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    )


_decode_pin = msgspec.json.Decoder(_PinBody).decode


def pin_wish(body: bytes) -> str:
    """Return the version that a body names. Raise ContractViolationError or MalformedBodyError."""
    try:
        return str(_decode_pin(body).version)
    except msgspec.ValidationError:
        wanted = "a version number of at most 19 digits"
        raise ContractViolationError("version", None, wanted, "something else") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedBodyError(f'the body is no JSON such as {{"version": "1"}}: {error}') from (
            None
        )


async def _fulfilled(wish: Wish, desired: DesiredState, settings: Settings) -> ModelVersion:
    """Wait until a wish's version serves. Raise why it does not, and ReloadTimeoutError."""
    try:
        with anyio.fail_after(settings.load_timeout_s):
            return await wish.settled()
    except TimeoutError:
        raise ReloadTimeoutError(
            f"not done within {settings.load_timeout_s:g} s (LOAD_TIMEOUT_S); it goes on"
        ) from None
    finally:
        desired.withdraw(wish)


def _serving(model: LoadedModel) -> dict[str, Any]:
    pool, batching = model.pool, model.batcher.settings
    return {
        **_named(model.version),
        "digest": model.stored.digest,
        "since": model.serving_since,
        "signature": _signature(model.contract.signature),
        "mlflow_version": model.loaded.mlflow_version,
        "python_version": model.loaded.python_version,
        "batched": model.batcher.row_wise,
        "predictors": _predictors(model),
        "requests": model.leases,
        "answered": model.answered,
        "failed": model.failed,
        "probation": model.trial.told() if model.trial is not None else None,
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


def _predictors(model: LoadedModel) -> dict[str, Any]:
    compiling = model.compiling
    return {
        "state": compiling.state,
        "reason": compiling.reason or model.pool.adoption.dropped or None,
        "report": compiling.report,
    }


def _named(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "workspace": version.workspace or None,
        "version": version.version,
        "run_id": version.run_id or None,
        "source": redact(version.source),
    }


def _signature(signature: dict[str, Any]) -> dict[str, Any]:
    """Return a signature, or how much is in its parts where it is too long to be shown."""
    if len(msgspec.json.encode(signature)) <= _SIGNATURE_BYTES:
        return signature
    return {
        part: f"{len(specs)} of them, too many to be shown" if specs else specs
        for part, specs in signature.items()
    }
