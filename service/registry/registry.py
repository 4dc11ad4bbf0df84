"""One registry, asked by processes of its own: a slow one delays nobody who follows another."""

import os
from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec

from service.core.described import Described
from service.core.errors import FetchFailedError, SourceUnavailableError
from service.core.versions import ModelVersion, StoredVersion
from service.processes.child import ChildSpec, ChildThreads
from service.registry.address import RegistryAddress
from service.registry.descriptions import Descriptions
from service.registry.messages import (
    DOWNLOAD,
    FETCH_MEMORY_BYTES,
    RESOLVE,
    SCOUT_TARGET,
    TAG,
    DownloadReply,
    DownloadRequest,
    ResolveReply,
    ResolveRequest,
    ScoutSettings,
    TagReply,
    TagRequest,
)
from service.registry.process import Scout
from service.workers.variables import REGISTRY_URI, TRACKING_URI

_FETCH_READ_S = 60.0
"""How long a download may bring nothing at all before it is tried again."""
_POLL_SHARE = 0.8
"""Of REGISTRY_TIMEOUT_S: what one HTTP request may take, so that its own error comes first."""


def registry_environment(
    address: RegistryAddress, credentials: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by which MLflow in a process finds this registry."""
    environment = {
        **credentials,
        TRACKING_URI: address.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
        # Empty where none is set: then the server's own choice counts, whatever is inherited.
        "MLFLOW_WORKSPACE": address.workspace,
    }
    if address.registry_uri:
        environment[REGISTRY_URI] = address.registry_uri
    return environment


class Registry:
    """What is asked of one registry, by whichever deployments follow it."""

    def __init__(
        self,
        address: RegistryAddress,
        *,
        temp_dir: Path,
        environment: dict[str, str],
        threads: ChildThreads,
        start_timeout_s: float,
    ) -> None:
        def process(
            name: str,
            patience: ScoutSettings,
            unanswered: type[SourceUnavailableError | FetchFailedError],
        ) -> Scout:
            arguments = msgspec.msgpack.encode(patience)
            spec = ChildSpec(SCOUT_TARGET, name, arguments, temp_dir, environment)
            return Scout(spec, threads, start_timeout_s, unanswered)

        self.address = address
        patience = ScoutSettings(address.timeout_s * _POLL_SHARE)
        self._poller = process("scout-poll", patience, SourceUnavailableError)
        self._fetcher = process(
            "scout-fetch", ScoutSettings(_FETCH_READ_S, 2, FETCH_MEMORY_BYTES), FetchFailedError
        )
        self._tagger = process("scout-tag", patience, SourceUnavailableError)
        self._descriptions = Descriptions(self._fetcher)

    async def resolve(self, request: ResolveRequest) -> ResolveReply:
        """Ask what a pointer means now. Raise SourceUnavailableError where that isn't answered."""
        return await self._poller.ask(RESOLVE, request, ResolveReply, self.address.timeout_s)

    async def fetch(self, version: ModelVersion, destination: Path, timeout_s: float) -> Path:
        """Bring a version's artifacts into a folder; return the one with its MLmodel file.

        Raise FetchFailedError. Cancelling stops the download.
        """
        request = DownloadRequest(version, str(destination))
        reply = await self._fetcher.ask(DOWNLOAD, request, DownloadReply, timeout_s)
        return Path(reply.path)

    async def tag(self, request: TagRequest) -> TagReply:
        """Write tags on a version. Raise SourceUnavailableError where they aren't taken."""
        return await self._tagger.ask(TAG, request, TagReply, self.address.timeout_s)

    async def describe(self, stored: StoredVersion) -> Described:
        """Return what a stored version says of itself, read in a process. Raise ServiceError."""
        return await self._descriptions.of(stored)

    async def close(self) -> None:
        """End every process."""
        async with anyio.create_task_group() as ends:
            for one in (self._poller, self._fetcher, self._tagger):
                ends.start_soon(one.close)
