"""One registry, asked by processes of its own: a slow one delays nothing that follows another."""

import os
from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelVersion
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.registry.address import RegistryAddress
from service.registry.group_look import GroupLook
from service.registry.messages import (
    ADD_FILE,
    ADD_SIGNATURE,
    DOWNLOAD,
    FETCH_MEMORY_BYTES,
    FIND_SIGNATURES,
    REGISTRY_TARGET,
    RESOLVE,
    SEARCH,
    TAG,
    AddFileReply,
    AddFileRequest,
    AddSignatureReply,
    AddSignatureRequest,
    DownloadReply,
    DownloadRequest,
    FindSignaturesReply,
    FindSignaturesRequest,
    RegistryClientSettings,
    ResolveReply,
    ResolveRequest,
    SearchReply,
    SearchRequest,
    TagReply,
    TagRequest,
)
from service.registry.process import RegistryProcess
from service.registry.process_pool import ProcessPool
from service.workers.variables import REGISTRY_URI, TRACKING_URI

_FETCH_READ_S = 60.0
"""A download that brings nothing for this time is tried again."""
_POLL_SHARE = 0.8
"""One HTTP request may take this share of REGISTRY_TIMEOUT_S, so that its own error comes first."""


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
    """One registry, as all deployments that follow it ask it.

    `fetches` has the processes in which downloads run, which all registries share. `run` makes the
    looks.
    """

    def __init__(
        self,
        address: RegistryAddress,
        *,
        temp_dir: Path,
        environment: dict[str, str],
        threads: ChildThreads,
        start_timeout_s: float,
        fetches: ProcessPool,
    ) -> None:
        def spec(name: str, limits: RegistryClientSettings) -> ChildSpec:
            arguments = msgspec.msgpack.encode(limits)
            return ChildSpec(REGISTRY_TARGET, name, arguments, temp_dir, environment)

        def process(name: str) -> RegistryProcess:
            limits = RegistryClientSettings(address.timeout_s * _POLL_SHARE)
            return RegistryProcess(
                spec(name, limits), threads, start_timeout_s, SourceUnavailableError
            )

        self.address = address
        self._poller = process("registry-poll")
        self._tagger = process("registry-tag")
        self._fetches = fetches
        self._fetcher = spec(
            "registry-fetch", RegistryClientSettings(_FETCH_READ_S, 2, FETCH_MEMORY_BYTES)
        )
        self._looks = GroupLook(self._resolve_one, self._search, address.timeout_s)

    async def run(self) -> None:
        """Make the looks that `resolve` waits for, until cancelled."""
        await self._looks.run()

    def looks_singly(self) -> bool:
        """Tell whether looking for many pointers together gains nothing here, for now."""
        return self._looks.looks_singly

    async def resolve(self, request: ResolveRequest) -> ResolveReply:
        """Ask what a pointer means now. Raise SourceUnavailableError where that isn't answered.

        What others ask for at the same time is asked for together with it.
        """
        return await self._looks.resolve(request)

    async def _resolve_one(self, request: ResolveRequest) -> ResolveReply:
        return await self._poller.ask(RESOLVE, request, ResolveReply, self.address.timeout_s)

    async def _search(self, request: SearchRequest) -> SearchReply:
        return await self._poller.ask(SEARCH, request, SearchReply, self.address.timeout_s)

    async def fetch(self, version: ModelVersion, destination: Path, timeout_s: float) -> Path:
        """Bring a version's artifacts into a folder; return the one with its MLmodel file.

        It waits where as many downloads are under way as may be. Raise FetchFailedError.
        Cancelling stops the download.
        """
        request = DownloadRequest(version, str(destination))
        reply = await self._fetches.ask(self._fetcher, DOWNLOAD, request, DownloadReply, timeout_s)
        return Path(reply.path)

    async def find_signatures(
        self, request: FindSignaturesRequest, timeout_s: float
    ) -> FindSignaturesReply:
        """Bring a version's signatures into a folder, as `fetch` does. Raise FetchFailedError."""
        return await self._fetches.ask(
            self._fetcher, FIND_SIGNATURES, request, FindSignaturesReply, timeout_s
        )

    async def add_signature(
        self, request: AddSignatureRequest, timeout_s: float
    ) -> AddSignatureReply:
        """Put a signature where it is looked for. Raise FetchFailedError where that fails."""
        return await self._fetches.ask(
            self._fetcher, ADD_SIGNATURE, request, AddSignatureReply, timeout_s
        )

    async def add_file(self, request: AddFileRequest, timeout_s: float) -> AddFileReply:
        """Put a file beside a version's artifacts. Raise FetchFailedError where that fails."""
        return await self._fetches.ask(self._fetcher, ADD_FILE, request, AddFileReply, timeout_s)

    async def tag(self, request: TagRequest) -> TagReply:
        """Write tags on a version. Raise SourceUnavailableError where they aren't taken."""
        return await self._tagger.ask(TAG, request, TagReply, self.address.timeout_s)

    async def close(self) -> None:
        """End every process of its own."""
        async with anyio.create_task_group() as ends:
            for one in (self._poller, self._tagger):
                ends.start_soon(one.close)
