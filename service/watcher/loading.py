"""A rollout's step in which the candidate is loaded, in processes of its own."""

import time
from collections.abc import Awaitable, Callable

from service.core.errors import (
    ChildLostError,
    ChildRaisedError,
    ChildTimeoutError,
    EnvironmentRefusedError,
    ServiceError,
    SignatureError,
)
from service.core.verdicts import Outcome
from service.core.versions import ModelVersion
from service.serving.model import LoadedModel
from service.watcher.gates.gate import Finding, log_of, refuse_lost
from service.watcher.verdict_log import VerdictLog

LOAD = "load"
"""The verdict on this step has this name."""
_OF_THE_VERSION = (
    SignatureError,
    EnvironmentRefusedError,
    ChildRaisedError,
    ChildLostError,
    ChildTimeoutError,
)
"""Errors for which it is refused; after any other one it is tried again."""


async def load(
    version: ModelVersion,
    open_model: Callable[[], Awaitable[LoadedModel]],
    verdicts: VerdictLog,
) -> LoadedModel:
    """Return the version, loaded.

    Raise RefusedError for a model that raises, dies or hangs there, or does not say what it takes,
    and for an environment in which no worker runs.
    What says nothing of the model is raised as it is: the rollout tries again later.
    """
    started = time.monotonic()
    try:
        model = await open_model()
    except _OF_THE_VERSION as error:
        refusal = Finding(Outcome.REFUSE, _why_refused(version, error))
        verdicts.refuse(LOAD, refusal, time.monotonic() - started)
    loaded = model.loaded
    writes = f"; {loaded.writes.told}" if loaded.writes.told else ""
    found = Finding(Outcome.PASS, f"loaded in {loaded.load_s:.2f} s{writes}")
    try:
        verdicts.add(LOAD, found, time.monotonic() - started)
    except BaseException:
        # Nobody else knows of it yet.
        model.close()
        raise
    return model


def _why_refused(version: ModelVersion, error: ServiceError) -> str:
    match error:
        case ChildRaisedError():
            log_of(version).warning("version raised while loading", exception=error.detail)
            return f"loading raised {error}"
        case ChildLostError():
            return refuse_lost(error).reason
        case ChildTimeoutError():
            return f"{error} (LOAD_TIMEOUT_S)"
        case _:
            return str(error)
