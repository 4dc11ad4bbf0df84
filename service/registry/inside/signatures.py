"""Where a version's signature is kept, found and put; runs in registry processes alone.

Beside the artifacts as `model.sig`, or, where those can't be added to, below SIGNATURES_URI: there
at `NAME/VERSION/DIGEST/model.sig`. The digest is of what the registry alone knows of the version
(its artifacts' place, its run and the millisecond of its creation): two registries may share the
folder, and one may be known by several addresses.
"""

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import msgspec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from service.core.artifact_names import SIGNATURE
from service.core.errors import FetchFailedError
from service.core.redaction import redact
from service.core.versions import ModelVersion
from service.registry.inside import artifacts
from service.registry.inside.faults import explain
from service.registry.inside.limits import file_size_limited
from service.registry.messages import (
    AddSignatureReply,
    AddSignatureRequest,
    FindSignaturesReply,
    FindSignaturesRequest,
)

_LARGEST_BYTES = 16_000_000
"""No larger file is fetched: none is read."""
_DIGITS = 16
_READABLE = 100
"""So much of a name is in a path; the digest is of all of it."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class TooLargeError(Exception):
    """A file that is longer than any signature."""


def find_signatures(request: FindSignaturesRequest) -> FindSignaturesReply:
    """Bring a version's signatures into the destination. Raise FetchFailedError for every fault.

    That there is none is known by a listing alone.
    """
    version, found, places, refused = request.version, [], [], ""
    for number, place in enumerate(_places(request.signatures_uri)):
        where = _shown(version, place)
        places.append(where)
        try:
            repository, folder = _repository(version, place)
            if fetched := _fetch(repository, folder, Path(request.destination) / str(number)):
                found.append(str(fetched))
        except TooLargeError as error:
            refused = f"{where} is no signature: {error}"
        except Exception as error:
            raise FetchFailedError(explain(error, f"{where} could not be read")) from error
    return FindSignaturesReply(tuple(found), " and no ".join(places), refused)


def add_signature(request: AddSignatureRequest) -> AddSignatureReply:
    """Put a signature where it is looked for first. Raise FetchFailedError where that fails."""
    version = request.version
    place = _places(request.signatures_uri)[0]
    where = _shown(version, place)
    try:
        repository, folder = _repository(version, place)
        repository.log_artifact(request.path, folder or None)
    except Exception as error:
        hint = "" if request.signatures_uri else "; SIGNATURES_URI names another place for it"
        raise FetchFailedError(
            f"{explain(error, f'{where} could not be written')}{hint}"
        ) from error
    return AddSignatureReply(where)


def folder_of(version: ModelVersion) -> str:
    """Return a version's folder below SIGNATURES_URI: letters that every store and URL takes."""
    # A run or a logged model has no name but the one that an operator gives it here.
    name = version.name if artifacts.is_registered(version) else ""
    identity = (name, version.version, version.run_id, version.source, version.created_ms)
    digest = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:_DIGITS]
    readable = [_UNSAFE.sub("_", part)[:_READABLE] for part in (name, version.version) if part]
    return "/".join((*readable, digest))


def _places(signatures_uri: str) -> list[str]:
    """Return where a signature may be: '' for beside the artifacts."""
    return [signatures_uri, ""] if signatures_uri else [""]


def _repository(version: ModelVersion, place: str) -> tuple[Any, str]:
    if not place:
        return artifacts.repository_of(version)
    return get_artifact_repository(place), folder_of(version)


def _shown(version: ModelVersion, place: str) -> str:
    if not place:
        return f"{SIGNATURE} beside {redact(artifacts.artifact_uri(version))}"
    return redact(f"{place.rstrip('/')}/{folder_of(version)}/{SIGNATURE}")


def _fetch(repository: Any, folder: str, destination: Path) -> Path | None:
    path = f"{folder}/{SIGNATURE}" if folder else SIGNATURE
    listed = artifacts.list_folder(repository, folder)
    sizes = [item.file_size for item in listed if item.path == path and not item.is_dir]
    if not sizes:
        return None
    if (sizes[0] or 0) > _LARGEST_BYTES:
        raise TooLargeError(f"it has {sizes[0]} bytes")
    destination.mkdir(parents=True)
    with file_size_limited(_LARGEST_BYTES):
        return Path(repository.download_artifacts(path, dst_path=str(destination)))
