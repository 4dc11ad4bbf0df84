"""`GET /model/info` and `/models/{name}/info`: what serves, and how it came to."""

from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.control.environment_wait import EnvironmentWait
from service.core.environments import BuildReport
from service.core.redaction import redact
from service.core.text import LISTED_CHARACTERS, bounded
from service.core.versions import ModelVersion
from service.deployment import Deployment
from service.handlers.control.journal import told
from service.handlers.permissions import PERMISSION
from service.serving.model import LoadedModel

_SHOWN_PROMOTIONS = 20
_SHOWN_REFUSALS = 20
_SIGNATURE_BYTES = 262_144
"""A longer signature is not shown: this is one of some thousand columns."""


@get(
    ["/model/info", "/models/{name:str}/info"],
    opt={PERMISSION: Permission.READ},
)
async def info(deployment: NamedDependency[Deployment]) -> dict[str, Any]:
    """Answer with all that is known of what serves, what is promoted, and what was tried."""
    model, status, ref = deployment.routes.current, deployment.status, deployment.ref
    registry, age_s = status.registry, status.registry.age_s
    return {
        "model_name": deployment.model_name,
        "model_stage": ref.label,
        "model_version": model.version.version if model else None,
        "tracking_uri": redact(deployment.address.tracking_uri),
        "loaded": model is not None and model.can_answer,
        "ref": redact(ref.uri),
        "pin": _named(status.pin) if status.pin else None,
        "serving": _serving(model) if model else None,
        "registry": {
            "promoted_version": registry.promoted.version if registry.promoted else None,
            "last_good_look_at": registry.seen_at,
            "age_s": None if age_s is None else round(age_s, 3),
            "error": registry.error or None,
        },
        "versions": [
            {
                **_named(known.version),
                "state": known.state,
                "since": known.since,
                "reason": bounded(known.reason, LISTED_CHARACTERS) or None,
            }
            for known in status.versions
        ],
        "refused": [
            {**_named(version), "reason": bounded(reason, LISTED_CHARACTERS)}
            for version, reason in [*status.refused.items()][-_SHOWN_REFUSALS:]
        ],
        "waiting": _waiting(status.waiting) if status.waiting else None,
        "promotions": [told(promotion) for promotion in deployment.journal.last(_SHOWN_PROMOTIONS)],
    }


def _serving(model: LoadedModel) -> dict[str, Any]:
    pool, batching = model.pool, model.batcher.settings
    return {
        **_named(model.version),
        "digest": model.stored.digest,
        "signed_by": (model.proof.signed_by if model.proof else "") or None,
        "since": model.serving_since,
        "signature": _signature(model.contract.signature),
        "mlflow_version": model.loaded.mlflow_version,
        "python_version": model.loaded.python_version,
        "environment": _environment(model),
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


def _environment(model: LoadedModel) -> dict[str, Any]:
    """Return what its workers run in; a lock's digest says which packages these are."""
    environment, built = model.pool.environment, model.built or BuildReport()
    return {
        "shared": environment.is_shared,
        "key": environment.key or None,
        "python_version": environment.python or model.loaded.python_version,
        "found_by": built.found_by or None,
        "lock_digest": built.lock_digest or None,
        "packages": built.packages or None,
        "bytes": built.bytes or None,
        "notes": list(built.notes),
    }


def _waiting(wait: EnvironmentWait) -> dict[str, Any]:
    """Return which version waits for its environment, since when, and how far that is."""
    return {
        **_named(wait.version),
        "since": wait.since,
        "waited_s": round(wait.age_s, 3),
        "failed_builds": wait.failed,
        "reason": wait.reason or None,
        "build": wait.progress,
    }


def _predictors(model: LoadedModel) -> dict[str, Any]:
    compiling = model.compiling
    return {
        "state": compiling.state,
        "reason": compiling.reason or model.pool.activation.dropped or None,
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
