"""Everything that is asked of MLflow's client; runs in scouts alone, where it can be killed.

`operations` is what such a child serves: `resolve`, `download`, `describe` and `tag`.
"""

import functools
import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

# Read by MLflow when it is imported.
if "DO_NOT_TRACK" not in os.environ:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException

from service.core.errors import SourceUnavailableError
from service.core.redaction import redact
from service.core.text import NAME_CHARACTERS, bounded, presentable, printable
from service.core.versions import ModelRef, ModelVersion, RefKind, version_number
from service.registry.inside.artifacts import list_run
from service.registry.inside.describing import describe
from service.registry.inside.download import download
from service.registry.inside.faults import causes, explain, is_absence
from service.registry.inside.limits import end_for_memory, limit_answers, limit_memory
from service.registry.inside.numbers import milliseconds
from service.registry.messages import (
    DESCRIBE,
    DOWNLOAD,
    RESOLVE,
    TAG,
    DescribeRequest,
    DownloadRequest,
    ResolveReply,
    ResolveRequest,
    ScoutSettings,
    TagReply,
    TagRequest,
)

_NAME_CHARACTERS = 4_000
"""MLflow's own limits are 256 for a name and 500 for a place."""


def operations(arguments: bytes) -> Mapping[str, tuple[type[Any], Callable[[Any], Any]]]:
    """Set this process up by its ScoutSettings and return what it can be asked."""
    settings = msgspec.msgpack.decode(arguments, type=ScoutSettings)
    configure(settings.request_timeout_s, retries=settings.retries)
    limit_answers()
    limit_memory(settings.memory_bytes)
    return {
        RESOLVE: (ResolveRequest, _within_memory(resolve)),
        DOWNLOAD: (DownloadRequest, _within_memory(download)),
        DESCRIBE: (DescribeRequest, _within_memory(describe)),
        TAG: (TagRequest, _within_memory(tag)),
    }


def _within_memory(operation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have this process end where an operation takes more memory than it may have."""

    @functools.wraps(operation)
    def run(request: Any) -> Any:
        try:
            return operation(request)
        except BaseException as error:
            if any(isinstance(link, MemoryError) for link in causes(error)):
                end_for_memory(operation.__name__)
            raise

    return run


def configure(timeout_s: float, *, retries: int = 0) -> None:
    """Make MLflow in this process impatient and quiet, except where the user has set it otherwise.

    Its own defaults block for four minutes on a refused connection and twenty on a silent one.
    """
    patience = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, math.ceil(timeout_s))),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        # A server could send us to sleep for longer than anyone waits.
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    for variable, value in patience.items():
        os.environ.setdefault(variable, value)
    # Stages are deprecated, and followed all the same.
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def resolve(request: ResolveRequest) -> ResolveReply:
    """Ask the registry what a pointer means now, by one call (a few for a run).

    Raise SourceUnavailableError for whatever is not a well-formed answer.
    """
    ref = request.ref
    try:
        return _short(_RESOLVERS[ref.kind](ref, mlflow.MlflowClient()))
    except SourceUnavailableError:
        raise
    except Exception as error:
        alias = ref.target if ref.kind is RefKind.ALIAS else ""
        if isinstance(error, MlflowException) and is_absence(
            error, alias=alias, over_http=_over_http(_uri(ref))
        ):
            return ResolveReply(None, presentable(f"the registry says: {error.message}"))
        raise SourceUnavailableError(explain(error, f"the registry at {_place(ref)}")) from error


def tag(request: TagRequest) -> TagReply:
    """Set tags one by one; a version that is gone, or another one by now, gets none.

    Raise SourceUnavailableError where the registry does not take them.
    """
    version, client = request.version, mlflow.MlflowClient()
    try:
        found = client.get_model_version(version.name, version.version)
        # A model that was deleted and made again has a version 1 once more.
        if milliseconds(found.creation_timestamp) != version.created_ms:
            return TagReply("the registry has another version of that number by now")
        for key, value in request.tags.items():
            client.set_model_version_tag(version.name, version.version, key, value)
    except Exception as error:
        over_http = _over_http(str(mlflow.get_registry_uri()))
        if isinstance(error, MlflowException) and is_absence(error, over_http=over_http):
            return TagReply("the registry has no such version any more")
        where = f"the registry at {version.registry}"
        raise SourceUnavailableError(explain(error, where)) from error
    return TagReply()


def _by_stage(ref: ModelRef, client: Any) -> ResolveReply:
    # The heads come with the model: one call where get_latest_versions takes two, and the model's
    # name in the answer tells an empty stage from an answer that is none of MLflow's.
    heads = [head for head in _heads(ref, client) if head.current_stage == ref.target]
    if not heads:
        return ResolveReply(None, f"no version of {ref.name} is in the stage {ref.target}")
    return _registered(ref, max(heads, key=_number))


def _by_latest(ref: ModelRef, client: Any) -> ResolveReply:
    heads = _heads(ref, client)
    if not heads:
        return ResolveReply(None, f"{ref.name} has no versions")
    return _registered(ref, max(heads, key=_number))


def _by_alias(ref: ModelRef, client: Any) -> ResolveReply:
    return _registered(ref, client.get_model_version_by_alias(ref.name, ref.target))


def _by_version(ref: ModelRef, client: Any) -> ResolveReply:
    return _registered(ref, client.get_model_version(ref.name, ref.target))


def _by_logged_model(ref: ModelRef, client: Any) -> ResolveReply:
    model = client.get_logged_model(ref.target)
    if model.model_id != ref.target:
        raise _malformed(ref)
    if str(model.status) != "READY":
        raise _unready(ref.uri, str(model.status))
    return ResolveReply(
        ModelVersion(
            registry=_place(ref),
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
            registry=_place(ref),
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


def _registered(ref: ModelRef, found: Any) -> ResolveReply:
    # An int from a SQL store, text over REST; '' in an answer that is none of MLflow's.
    number = version_number(str(found.version))
    if found.name != ref.name or number is None:
        raise _malformed(ref)
    if found.status != "READY":
        raise _unready(f"version {number} of {ref.name}", str(found.status))
    return ResolveReply(
        ModelVersion(
            registry=_place(ref),
            workspace=_workspace(),
            name=found.name,
            version=number,
            run_id=found.run_id or "",
            source=redact(found.source or ""),
            created_ms=milliseconds(found.creation_timestamp),
        )
    )


def _short(reply: ResolveReply) -> ResolveReply:
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


def _place(ref: ModelRef) -> str:
    return redact(_uri(ref))


def _workspace() -> str:
    """Return the workspace that MLflow's client asks for in this process, '' for the server's."""
    return os.environ.get("MLFLOW_WORKSPACE", "").strip()


def _over_http(uri: str) -> bool:
    scheme = urlsplit(uri).scheme
    # Databricks is named without a scheme; a single letter is a drive of Windows.
    is_folder = scheme == "file" or (len(scheme) <= 1 and not uri.startswith("databricks"))
    return not is_folder and "sql" not in scheme


def _malformed(ref: ModelRef) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"the registry at {_place(ref)} answered something else than what {ref.uri} is; "
        "check that the address is MLflow's own"
    )


def _unready(what: str, status: str) -> SourceUnavailableError:
    return SourceUnavailableError(f"{what} is not ready yet: MLflow says {status}")
