"""A version's artifacts, brought into a folder of ours and found complete.

This runs in registry processes alone. There is no checksum on the way: a download that was cut
short can 'succeed'. So the files are compared with the artifact store's own listing, and with the
size that the model was logged with. What is listed must fit on the disk before any of it is
fetched, and what comes may not become more.
"""

import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow

from service.core.artifact_names import CLIENTS_NOTE
from service.core.errors import FetchFailedError
from service.core.redaction import redact
from service.core.versions import ModelVersion
from service.registry.inside import artifacts
from service.registry.inside.faults import explain
from service.registry.inside.limits import ENTRY_BYTES, file_size_limited, folder_size_limited
from service.registry.inside.numbers import milliseconds
from service.registry.messages import DownloadReply, DownloadRequest
from service.store.mlmodel import MLMODEL, DocumentLimitError, read_mlmodel

_WRITTEN_HERE = frozenset({CLIENTS_NOTE})
"""MLflow's client adds these to a download, and no listing names them."""

_WRITTEN_HERE_BYTES = 1_000_000
_BYTECODE = "__pycache__"
_RUN_WHEN_LOGGED = frozenset({_BYTECODE, "code"})
"""Where MLflow leaves the bytecode of a model's code when it tries the example before uploading:
beside a model from code, and below `code_paths`."""


class _Room(NamedTuple):
    """How much a download may take of the disk."""

    a_file_bytes: int
    all_bytes: int


def download(request: DownloadRequest) -> DownloadReply:
    """Bring a version's artifacts into the destination. Raise FetchFailedError for every fault."""
    version = request.version
    uri = artifacts.artifact_uri(version)
    try:
        _must_be_the_same(version, uri)
        listed = artifacts.list_all(version)
        room = _room(uri, listed, Path(request.destination))
        with (
            file_size_limited(room.a_file_bytes),
            folder_size_limited(Path(request.destination), room.all_bytes),
        ):
            path = artifacts.fetch(version, request.destination)
        root = _model_root(path, uri)
        files = _sizes(root)
        _check_listing(uri, listed, files)
        _check_logged_size(root, files)
        # Again: the registry may have been made anew between the two, with the same numbers.
        _must_be_the_same(version, uri)
    except FetchFailedError:
        raise
    except Exception as error:
        raise FetchFailedError(explain(error, f"{uri} could not be fetched")) from error
    return DownloadReply(str(root), len(files), sum(files.values()))


def _must_be_the_same(version: ModelVersion, uri: str) -> None:
    """Raise FetchFailedError where that number means another version by now."""
    if uri == version.source:
        return
    found = mlflow.MlflowClient().get_model_version(version.name, version.version)
    if (milliseconds(found.creation_timestamp), redact(found.source or "")) != (
        version.created_ms,
        version.source,
    ):
        raise FetchFailedError(f"{uri} was deleted and made again; the next look finds the new one")


def _model_root(path: Path, uri: str) -> Path:
    if not (path / MLMODEL).is_file():
        raise FetchFailedError(f"{uri} holds no MLmodel file, so it is no model or not all of it")
    return path


def _sizes(root: Path) -> dict[str, int]:
    return {
        file.relative_to(root).as_posix(): file.stat().st_size
        for file in root.rglob("*")
        if file.is_file() and file.name not in _WRITTEN_HERE
    }


def _room(uri: str, listed: dict[str, int | None], destination: Path) -> _Room:
    """Return how much of the disk a download may take: a registry may answer without an end.

    That is what is listed, and once more as much for files that are put together from parts, but
    at most half of what stays free. The same half is for all files that are listed without a size.
    Raise FetchFailedError where what is listed can't fit: a download that fills the disk takes room
    from everything else that is on it.
    """
    needed = sum(size_bytes or 0 for size_bytes in listed.values())
    existing = next(folder for folder in (destination, *destination.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise FetchFailedError(
            f"{uri} needs {needed} bytes, and {free} are free on the disk of CACHE_DIR: make room "
            "there, or set CACHE_DIR to a folder on another disk"
        )
    spare = (free - needed) // 2
    sizes = [spare if size_bytes is None else size_bytes for size_bytes in listed.values()]
    # A file, and each folder that it is in.
    entries = sum(1 + path.count("/") for path in listed)
    more = spare if None in listed.values() else min(needed, spare)
    return _Room(
        a_file_bytes=max(sizes, default=0) + _WRITTEN_HERE_BYTES,
        all_bytes=needed + more + entries * ENTRY_BYTES + _WRITTEN_HERE_BYTES,
    )


def _check_listing(uri: str, listed: dict[str, int | None], files: dict[str, int]) -> None:
    """Compare what arrived with what the artifact store lists."""
    for path, size_bytes in listed.items():
        found = files.get(path)
        if found is None and Path(path).name not in _WRITTEN_HERE:
            raise FetchFailedError(f"{uri} is not complete: {path} did not arrive")
        if None not in (found, size_bytes) and found != size_bytes:
            raise FetchFailedError(
                f"{uri} is not complete: {found} of {size_bytes} bytes of {path} arrived"
            )


def _check_logged_size(root: Path, files: dict[str, int]) -> None:
    """Compare with MLmodel's `model_size_bytes`: the files that were there when it was written.

    More may have been added since (requirements, the MLmodel file itself): it is a lower bound.
    Bytecode is not counted: MLflow copies none into a model, writes it when it tries the example,
    and there can be more of it than is missing.
    """
    try:
        described = read_mlmodel(root)
    except DocumentLimitError:
        return  # no download mends that: a gate refuses it
    if not isinstance(described, dict):
        raise FetchFailedError(f"the MLmodel file of {root.name} is no mapping, or cut short")
    logged = described.get("model_size_bytes")
    arrived = sum(
        size for path, size in files.items() if path != MLMODEL and not _is_bytecode(path)
    )
    if isinstance(logged, int) and arrived < logged:
        raise FetchFailedError(
            f"the model is not complete: {arrived} bytes arrived of {logged} that were logged"
        )


def _is_bytecode(path: str) -> bool:
    """Tell whether that came of running the model's code; what a user logged is never it."""
    folders = path.split("/")[:-1]
    return _BYTECODE in folders and folders[0] in _RUN_WHEN_LOGGED
