"""Resolve a pointer by asking the registry for its name; runs in registry processes alone."""

import os
import warnings
from collections.abc import Callable
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException

from service.core.errors import SourceUnavailableError
from service.core.redaction import redact
from service.core.text import NAME_CHARACTERS, bounded, presentable, printable
from service.core.versions import ModelRef, ModelVersion, RefKind, version_number
from service.registry.inside.artifacts import list_run
from service.registry.inside.faults import explain, is_absence, is_over_http
from service.registry.inside.numbers import milliseconds
from service.registry.messages import ResolveReply, ResolveRequest

_NAME_CHARACTERS = 4_000
"""A longer name is refused. MLflow's own limits are 256 for a name and 500 for a place."""


def resolve(request: ResolveRequest) -> ResolveReply:
    """Ask the registry what a pointer means now, by one call (a few for a run).

    Raise SourceUnavailableError for whatever is not a well-formed answer.
    """
    ref = request.ref
    try:
        return short(_RESOLVERS[ref.kind](ref, mlflow.MlflowClient()))
    except SourceUnavailableError:
        raise
    except Exception as error:
        alias = ref.target if ref.kind is RefKind.ALIAS else ""
        if isinstance(error, MlflowException) and is_absence(
            error, alias=alias, over_http=is_over_http(_uri(ref))
        ):
            return ResolveReply(None, presentable(f"the registry says: {error.message}"))
        raise SourceUnavailableError(explain(error, f"the registry at {place(ref)}")) from error


def _by_stage(ref: ModelRef, client: Any) -> ResolveReply:
    # The heads come with the model: one call where get_latest_versions takes two, and the model's
    # name in the answer tells an empty stage from an answer that is none of MLflow's.
    heads = [head for head in _heads(ref, client) if head.current_stage == ref.target]
    if not heads:
        return ResolveReply(None, f"no version of {ref.name} is in the stage {ref.target}")
    return registered(ref, max(heads, key=_number))


def _by_latest(ref: ModelRef, client: Any) -> ResolveReply:
    heads = _heads(ref, client)
    if not heads:
        return ResolveReply(None, f"{ref.name} has no versions")
    return registered(ref, max(heads, key=_number))


def _by_alias(ref: ModelRef, client: Any) -> ResolveReply:
    return registered(ref, client.get_model_version_by_alias(ref.name, ref.target))


def _by_version(ref: ModelRef, client: Any) -> ResolveReply:
    return registered(ref, client.get_model_version(ref.name, ref.target))


def _by_logged_model(ref: ModelRef, client: Any) -> ResolveReply:
    model = client.get_logged_model(ref.target)
    if model.model_id != ref.target:
        raise _malformed(ref)
    if str(model.status) != "READY":
        raise _unready(ref.uri, str(model.status))
    return ResolveReply(
        ModelVersion(
            registry=place(ref),
            workspace=_workspace(),
            name=model.name or ref.target,
            version=ref.target,
            run_id=model.source_run_id or "",
            source=ref.uri,
            created_ms=milliseconds(model.creation_timestamp),
        )
    )


def _by_run(ref: ModelRef, client: Any) -> ResolveReply:
    info = client.get_run(ref.target).info
    if info.run_id != ref.target:
        raise _malformed(ref)
    if info.lifecycle_stage == "deleted":
        return ResolveReply(None, f"the run {ref.target} is deleted")
    path = ref.uri.removeprefix(f"runs:/{ref.target}/").strip("/")
    if not list_run(ref.target, path):
        return ResolveReply(None, f"the run {ref.target} has nothing at {path}")
    return ResolveReply(
        ModelVersion(
            registry=place(ref),
            workspace=_workspace(),
            name=path.rpartition("/")[2],
            version=ref.target,
            run_id=ref.target,
            source=ref.uri,
            created_ms=milliseconds(info.start_time),
        )
    )


_RESOLVERS: dict[RefKind, Callable[[ModelRef, Any], ResolveReply]] = {
    RefKind.STAGE: _by_stage,
    RefKind.ALIAS: _by_alias,
    RefKind.VERSION: _by_version,
    RefKind.LATEST: _by_latest,
    RefKind.LOGGED_MODEL: _by_logged_model,
    RefKind.RUN: _by_run,
}


def _heads(ref: ModelRef, client: Any) -> list[Any]:
    """Return the highest version of each stage."""
    model = client.get_registered_model(ref.name)
    if model.name != ref.name:
        raise _malformed(ref)
    return list(model.latest_versions or ())


def _number(version: Any) -> int:
    return int(version.version)


def registered(ref: ModelRef, found: Any) -> ResolveReply:
    """Read a registered version out of an answer.

    Raise SourceUnavailableError where it is another model's, not ready, or named at length.
    """
    # An int from a SQL store, text over REST; '' in an answer that is none of MLflow's.
    number = version_number(str(found.version))
    if found.name != ref.name or number is None:
        raise _malformed(ref)
    if found.status != "READY":
        raise _unready(f"version {number} of {ref.name}", str(found.status))
    return ResolveReply(
        ModelVersion(
            registry=place(ref),
            workspace=_workspace(),
            name=found.name,
            version=number,
            run_id=found.run_id or "",
            source=redact(found.source or ""),
            created_ms=milliseconds(found.creation_timestamp),
        )
    )


def short(reply: ResolveReply) -> ResolveReply:
    """Return a reply whose names are no longer than MLflow's may be.

    Raise SourceUnavailableError for others: they are kept, logged and shown everywhere.
    """
    version = reply.version
    if version is not None:
        names = (version.name, version.version, version.run_id, version.source)
        if max(map(len, names)) > _NAME_CHARACTERS:
            raise SourceUnavailableError(
                f"the registry names a version in more than {_NAME_CHARACTERS} characters: "
                f"{bounded(printable(max(names, key=len)), NAME_CHARACTERS)}"
            )
    return reply


def _uri(ref: ModelRef) -> str:
    of_tracking = ref.kind in {RefKind.RUN, RefKind.LOGGED_MODEL}
    return str(mlflow.get_tracking_uri() if of_tracking else mlflow.get_registry_uri())


def place(ref: ModelRef) -> str:
    """Return where a pointer is asked for, without credentials."""
    return redact(_uri(ref))


def _workspace() -> str:
    """Return the workspace that MLflow's client asks for in this process, '' for the server's."""
    return os.environ.get("MLFLOW_WORKSPACE", "").strip()


def _malformed(ref: ModelRef) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"the registry at {place(ref)} answered something else than what {ref.uri} is; "
        "check that the address is MLflow's own"
    )


def _unready(what: str, status: str) -> SourceUnavailableError:
    return SourceUnavailableError(f"{what} is not ready yet: MLflow says {status}")
