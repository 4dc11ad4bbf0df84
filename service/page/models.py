"""One model as the page shows it: what serves, whether the registry agrees, and how it answers."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from service.control.status import Status
from service.core.states import State
from service.core.versions import ModelVersion
from service.deployment import Deployment
from service.page.engines import EnginesView, engines_of
from service.page.promotions import SHOWN_PROMOTIONS, PromotionView, short, story_of
from service.page.texts import name_of, reason_of
from service.readiness import Readiness, readiness_of
from service.serving.model import LoadedModel

_OVER = frozenset({State.READY, State.DRAINING, State.UNLOADED, State.FAILED})
_WORDS = {
    "serving": "Serving",
    "degraded": "Degraded",
    "loading": "Loading",
    "refused": "Refused",
    "down": "Not answering",
    "empty": "No version",
}
"""How a model stands, and what that is called."""


class VersionView(msgspec.Struct, frozen=True):
    """A version, and where it can be seen in MLflow; '' for a link that there is not."""

    number: str
    name: str
    run_id: str
    source: str
    version_url: str
    run_url: str


class RegistryView(msgspec.Struct, frozen=True):
    """What the registry promotes: `mark` is `good` where it agrees with what serves."""

    pointer: str
    place: str
    promoted: str
    pinned: str
    mark: str
    says: str
    error: str


class Summary(msgspec.Struct, frozen=True):
    """A model in a list: `stands` is one of `_WORDS`, `why` what is not as it should be."""

    key: str
    name: str
    shown: str
    """The name as people read it."""
    pointer: str
    stands: str
    word: str
    why: str
    version: str
    since: datetime | None
    under_way: PromotionView | None
    registry: RegistryView


class ModelView(msgspec.Struct, frozen=True):
    """All that a model's page shows of it, but for numbers that change with each request."""

    summary: Summary
    serving: VersionView | None
    workers: int
    workers_wanted: int
    batched: bool
    max_batch_rows: int
    python: str
    mlflow: str
    environment: str
    """What its workers run in, in words."""
    digest: str
    signed_by: str
    probation: Mapping[str, Any] | None
    engines: EnginesView | None
    story: tuple[PromotionView, ...]


def key_of(name: str) -> str:
    """Return what a model is called in ids of elements: its name may hold anything."""
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]


def summary_of(deployment: Deployment) -> Summary:
    """Look at one deployment, for a list of many."""
    status = deployment.status
    newest = story_of(deployment.journal.last(1), status)
    return _summary(deployment, status, newest)


def view_of(deployment: Deployment) -> ModelView:
    """Look at one deployment."""
    status, model = deployment.status, deployment.routes.current
    story = story_of(deployment.journal.last(SHOWN_PROMOTIONS), status)
    proof = model.proof if model is not None else None
    trial = model.trial if model is not None else None
    return ModelView(
        summary=_summary(deployment, status, story),
        serving=_version(deployment, model.version) if model is not None else None,
        workers=model.pool.size if model is not None else 0,
        workers_wanted=model.pool.settings.workers if model is not None else 0,
        batched=model is not None and model.batcher.row_wise,
        max_batch_rows=model.batcher.settings.max_rows if model is not None else 0,
        python=_python(model) if model is not None else "",
        mlflow=model.loaded.mlflow_version if model is not None else "",
        environment=_environment(model) if model is not None else "",
        digest=model.stored.digest if model is not None else "",
        signed_by=name_of(proof.signed_by) if proof is not None else "",
        probation=_probation(trial.told()) if trial is not None else None,
        engines=engines_of(model) if model is not None else None,
        story=story,
    )


def _summary(deployment: Deployment, status: Status, story: tuple[PromotionView, ...]) -> Summary:
    model, ready = deployment.routes.current, readiness_of(deployment)
    under_way = next((one for one in story if one.steps), None)
    stands = _stands(deployment, status, ready, is_under_way=under_way is not None)
    return Summary(
        key=key_of(deployment.name),
        name=deployment.name,
        shown=name_of(deployment.name),
        pointer=name_of(deployment.ref.uri),
        stands=stands,
        word=_WORDS[stands],
        why=reason_of(ready.error or ready.degraded),
        version=short(model.version) if model is not None else "",
        since=model.serving_since if model is not None else None,
        under_way=under_way,
        registry=_registry(deployment, status, model),
    )


def _stands(deployment: Deployment, status: Status, ready: Readiness, *, is_under_way: bool) -> str:
    """Return how a model stands, in one word of `_WORDS`."""
    if deployment.routes.current is not None:
        if ready.error:
            return "down"
        return "degraded" if ready.degraded and not is_under_way else "serving"
    wanted = status.wanted
    if is_under_way:
        return "loading"
    if wanted is not None and wanted in status.refused:
        return "refused"
    loading = any(one.version == wanted and one.state not in _OVER for one in status.versions)
    return "loading" if loading else "empty"


def _registry(deployment: Deployment, status: Status, model: LoadedModel | None) -> RegistryView:
    look, pin = status.registry, status.pin
    promoted = look.promoted
    if look.error:
        mark, says = "warn", "can't be asked"
    elif not look.is_known:
        mark, says = "quiet", "was not asked yet"
    elif promoted is None:
        mark, says = "warn", "promotes no version"
    elif pin is not None and pin != promoted:
        mark, says = "warn", f"promotes version {short(promoted)}, but {short(pin)} is pinned"
    elif model is not None and model.version == promoted:
        mark, says = "good", "agrees"
    elif promoted in status.refused:
        mark, says = "bad", f"promotes version {short(promoted)}, which was refused"
    else:
        mark, says = "busy", f"promotes version {short(promoted)}"
    return RegistryView(
        pointer=name_of(deployment.ref.uri),
        place=name_of(deployment.address.registry_uri or deployment.address.tracking_uri),
        promoted=short(promoted) if promoted is not None else "",
        pinned=short(pin) if pin is not None else "",
        mark=mark,
        says=says,
        error=reason_of(look.error),
    )


def _version(deployment: Deployment, version: ModelVersion) -> VersionView:
    runs, models = (
        _site(uri)
        for uri in (
            deployment.address.tracking_uri,
            deployment.address.registry_uri or deployment.address.tracking_uri,
        )
    )
    has_number = bool(deployment.ref.name)
    name, number, run = (
        quote(text, safe="") for text in (version.name, version.version, version.run_id)
    )
    return VersionView(
        number=short(version),
        name=name_of(version.name),
        run_id=name_of(version.run_id),
        source=reason_of(version.source),
        version_url=f"{models}/#/models/{name}/versions/{number}" if models and has_number else "",
        run_url=f"{runs}/#/runs/{run}" if runs and run else "",
    )


def _site(uri: str) -> str:
    """Return where MLflow's own page is, without credentials; '' where it has none by HTTP."""
    try:
        parts = urlsplit(uri)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _python(model: LoadedModel) -> str:
    return model.pool.environment.python or model.loaded.python_version


def _environment(model: LoadedModel) -> str:
    built = model.built
    if model.pool.environment.is_shared or built is None:
        return "the service's own"
    return f"its own, {built.packages} packages by {name_of(built.found_by)}"


def _probation(told: dict[str, Any]) -> dict[str, Any]:
    """Return what does not change with each request while all goes well."""
    reason = told["reason"]
    return {
        "state": told["state"],
        "failures": told["failures"],
        "reason": reason_of(reason) if reason else "",
    }
