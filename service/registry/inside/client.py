"""Everything that is asked of MLflow's client; runs in registry processes alone.

`operations` is what such a child serves: `resolve`, `search`, `download`, `describe`, `tag`,
signatures found and added, and other files added.
"""

import functools
import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

# Read by MLflow when it is imported.
if "DO_NOT_TRACK" not in os.environ:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException

from service.core.errors import SourceUnavailableError
from service.registry.inside.adding import add_file
from service.registry.inside.describing import describe
from service.registry.inside.download import download
from service.registry.inside.faults import causes, explain, is_absence, is_over_http
from service.registry.inside.limits import end_for_memory, limit_answers, limit_memory
from service.registry.inside.numbers import milliseconds
from service.registry.inside.searching import Searches
from service.registry.inside.signatures import add_signature, find_signatures
from service.registry.messages import (
    ADD_FILE,
    ADD_SIGNATURE,
    DESCRIBE,
    DOWNLOAD,
    FIND_SIGNATURES,
    RESOLVE,
    SEARCH,
    TAG,
    AddFileRequest,
    AddSignatureRequest,
    DescribeRequest,
    DownloadRequest,
    FindSignaturesRequest,
    RegistryClientSettings,
    ResolveRequest,
    SearchRequest,
    TagReply,
    TagRequest,
)


def operations(arguments: bytes) -> Mapping[str, tuple[type[Any], Callable[[Any], Any]]]:
    """Set this process up by its RegistryClientSettings and return what it can be asked."""
    settings = msgspec.msgpack.decode(arguments, type=RegistryClientSettings)
    configure(settings.request_timeout_s, retries=settings.retries)
    limit_answers()
    limit_memory(settings.memory_bytes)
    searches = Searches()
    return {
        RESOLVE: (ResolveRequest, _within_memory(searches.resolve)),
        SEARCH: (SearchRequest, _within_memory(searches.search)),
        DOWNLOAD: (DownloadRequest, _within_memory(download)),
        DESCRIBE: (DescribeRequest, _within_memory(describe)),
        TAG: (TagRequest, _within_memory(tag)),
        FIND_SIGNATURES: (FindSignaturesRequest, _within_memory(find_signatures)),
        ADD_SIGNATURE: (AddSignatureRequest, _within_memory(add_signature)),
        ADD_FILE: (AddFileRequest, _within_memory(add_file)),
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
        over_http = is_over_http(str(mlflow.get_registry_uri()))
        if isinstance(error, MlflowException) and is_absence(error, over_http=over_http):
            return TagReply("the registry has no such version any more")
        where = f"the registry at {version.registry}"
        raise SourceUnavailableError(explain(error, where)) from error
    return TagReply()
