"""Puts a file beside a version's artifacts; runs in registry processes alone."""

from pathlib import Path

from service.core.errors import FetchFailedError
from service.core.redaction import redact
from service.registry.inside import artifacts
from service.registry.inside.faults import explain
from service.registry.messages import AddFileReply, AddFileRequest


def add_file(request: AddFileRequest) -> AddFileReply:
    """Put a file beside the artifacts. Raise FetchFailedError where that fails."""
    version = request.version
    where = f"{Path(request.path).name} beside {redact(artifacts.artifact_uri(version))}"
    try:
        repository, folder = artifacts.repository_of(version)
        repository.log_artifact(request.path, folder or None)
    except Exception as error:
        raise FetchFailedError(explain(error, f"{where} could not be written")) from error
    return AddFileReply(where)
