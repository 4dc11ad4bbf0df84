"""What is shown of a service: a document of plain values, made of what its calls answer."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from service.commands.status.answers import Health, Info, Listed, Models

EVERY_MODEL_ANSWERS = 0
SOME_MODEL_DOES_NOT = 1
NO_SERVICE_ANSWERS = 2

_LOADING = frozenset({"new", "fetching", "building", "loading", "proving"})
"""The states of a version that is on its way to serve."""


class ModelState(StrEnum):
    """How a model stands, in a word or two."""

    SERVING = "serving"
    DEGRADED = "degraded"
    """It can answer, and something is wrong."""
    LOADING = "loading"
    """A version is on its way; `can_answer` says whether another one serves meanwhile."""
    NO_WORKER = "no worker"
    """A version serves, and none of its workers lives."""
    UNPROMOTED = "nothing promoted"
    NOT_SERVING = "not serving"


class Candidate(msgspec.Struct, frozen=True):
    """A version on its way to serve, the step that it is at, and how far that is."""

    version: str
    step: str
    detail: str | None = None


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model. What is counted is of the version that serves, since it does."""

    name: str
    model_name: str
    pointer: str
    state: ModelState
    can_answer: bool
    promoted_version: str | None = None
    serving_version: str | None = None
    pinned_version: str | None = None
    since: datetime | None = None
    candidate: Candidate | None = None
    workers: int | None = None
    workers_alive: int | None = None
    answered: int | None = None
    failed: int | None = None
    registry_age_s: float | None = None
    """Seconds since the last good look at the registry; None before the first one."""
    troubles: list[str] = msgspec.field(default_factory=list)
    """What is wrong, a sentence each."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it was at one moment; `error` says why it gave no answer, None where it did."""

    url: str
    at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    answers: bool
    error: str | None = None
    troubles: list[str] = msgspec.field(default_factory=list)
    """What is wrong with the service as a whole, a sentence each."""
    default: str | None = None
    models: list[ModelStatus] = msgspec.field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """The status with which the command ends."""
        if not self.answers:
            return NO_SERVICE_ANSWERS
        can_all = bool(self.models) and all(model.can_answer for model in self.models)
        return EVERY_MODEL_ANSWERS if can_all else SOME_MODEL_DOES_NOT


def status_of_model(listed: Listed, info: Info) -> ModelStatus:
    """Return how one model stands."""
    can_answer = listed.status == "healthy"
    serving, registry = info.serving, info.registry
    candidate = next(
        (
            Candidate(one.version, one.state, one.reason)
            for one in info.versions
            if one.state in _LOADING
        ),
        None,
    )
    troubles = list(_troubles(listed, info))
    return ModelStatus(
        name=listed.name,
        model_name=listed.model_name,
        pointer=listed.model_stage,
        state=_state(info, candidate, can_answer=can_answer, is_degraded=bool(troubles)),
        can_answer=can_answer,
        promoted_version=registry.promoted_version,
        serving_version=serving.version if serving else None,
        pinned_version=info.pin.version if info.pin else None,
        since=serving.since if serving else None,
        candidate=candidate,
        workers=serving.pool.workers if serving else None,
        workers_alive=serving.pool.alive if serving else None,
        answered=serving.answered if serving else None,
        failed=serving.failed if serving else None,
        registry_age_s=registry.age_s,
        troubles=troubles,
    )


def troubles_of_service(health: Health, models: Models) -> list[str]:
    """Return what is wrong with the service, without what its models say of themselves."""
    troubles = []
    by_name = {model.name: model for model in models.models}
    default = by_name.get(models.default or "")
    # `/health` says of the service what is wrong with its default model, and then the rest.
    of_default = (default.degraded or "") if default else ""
    rest = (health.degraded or "").removeprefix(of_default).removeprefix("; ")
    if rest:
        troubles.append(rest)
    if health.error and health.error not in {model.error for model in models.models}:
        troubles.append(health.error)
    return troubles


def _troubles(listed: Listed, info: Info) -> Iterator[str]:
    said = listed.error or listed.degraded
    if said:
        yield said
    if info.registry.error and info.registry.error != said:
        yield f"the registry can't be asked: {info.registry.error}"
    pool = info.serving.pool if info.serving else None
    if pool and 0 < pool.alive < pool.workers:
        yield f"{pool.alive} of {pool.workers} workers live"


def _state(
    info: Info, candidate: Candidate | None, *, can_answer: bool, is_degraded: bool
) -> ModelState:
    if candidate:
        return ModelState.LOADING
    if can_answer:
        return ModelState.DEGRADED if is_degraded else ModelState.SERVING
    if info.serving:
        return ModelState.NO_WORKER
    was_seen = info.registry.age_s is not None
    if was_seen and info.pin is None and info.registry.promoted_version is None:
        return ModelState.UNPROMOTED
    return ModelState.NOT_SERVING
