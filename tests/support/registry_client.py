"""MLflow's client asked in this process, as a registry process asks it."""

from pathlib import Path

from service.core.versions import ModelRef, ModelVersion
from service.registry.inside import download
from service.registry.inside.resolving import resolve
from service.registry.messages import DownloadRequest, ResolveReply, ResolveRequest


def ask(uri: str) -> ResolveReply:
    """Resolve a model URI."""
    return resolve(ResolveRequest(ModelRef.parse(uri)))


def number(uri: str) -> str | None:
    """Resolve a model URI to its version's number."""
    version = ask(uri).version
    return version.version if version else None


def found(uri: str) -> ModelVersion:
    """Resolve a model URI that means something."""
    version = ask(uri).version
    assert version is not None
    return version


def fetch(version: ModelVersion, folder: Path) -> Path:
    """Download, and check that what came is below the folder."""
    reply = download.download(DownloadRequest(version, str(folder)))
    assert Path(reply.path).is_relative_to(folder)
    assert reply.files > 0
    assert reply.size_bytes > 0
    return Path(reply.path)
