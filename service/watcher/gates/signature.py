"""The gate that asks whether a trusted key has signed what would be loaded."""

import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from service.core.artifact_names import SIGNATURE
from service.core.verdicts import Outcome
from service.core.versions import ModelVersion, StoredVersion
from service.registry.messages import FindSignaturesReply
from service.signing.messages import VerifyReply, VerifyRequest
from service.store import files
from service.watcher.gates.gate import Finding

Find = Callable[[ModelVersion, Path], Awaitable[FindSignaturesReply]]
"""Brings a version's signatures into a folder."""
Verify = Callable[[VerifyRequest], Awaitable[VerifyReply]]
"""Has signatures verified, in a process of its own."""


class SignatureGate:
    """One of the keys of REQUIRE_SIGNED has signed exactly its files; nothing has run any of them.

    The keys are read each time. A signature that came with the artifacts, or was good before, is
    verified without asking anybody; where it is not good now, the registry is asked for another.
    """

    name = "signature"

    def __init__(self, keys: Path, find: Find, verify: Verify, temp_dir: Path) -> None:
        """`temp_dir` is on the store's disk."""
        self._keys = keys
        self._find = find
        self._verify = verify
        self._temp_dir = temp_dir

    async def check(self, stored: StoredVersion) -> Finding:
        """Name the key that signed it, or what differs from what was signed.

        Raise FetchFailedError where signatures can't be fetched now, or keys can't be read.
        """
        kept = stored.path.parent / SIGNATURE
        reply = await self._verified(stored, (stored.path / SIGNATURE, kept))
        if reply.signed_by:
            return _passed(reply)
        async with self._folder() as folder:
            found = await self._find(stored.version, folder)
            fetched = await self._verified(stored, [Path(path) for path in found.paths])
            if fetched.signed_by:
                # The next start may have no registry to ask.
                await anyio.to_thread.run_sync(files.move, Path(fetched.signature), kept)
                return _passed(fetched)
        reason = (
            fetched.refusal
            or found.refused
            or reply.refusal
            or f"it is not signed: there is no {found.places}"
        )
        return Finding(Outcome.REFUSE, f"{reason} (REQUIRE_SIGNED)")

    async def _verified(self, stored: StoredVersion, signatures: Sequence[Path]) -> VerifyReply:
        return await self._verify(
            VerifyRequest(
                path=str(stored.path),
                digest=stored.digest,
                name=stored.version.name,
                version=stored.version.version,
                keys=str(self._keys),
                signatures=tuple(map(str, signatures)),
            )
        )

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """Give the path of a folder of our own, which is removed afterwards."""
        folder = self._temp_dir / f"signatures-{uuid.uuid4().hex}"
        try:
            yield folder
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _passed(reply: VerifyReply) -> Finding:
    files_signed = f"{reply.files} file{'' if reply.files == 1 else 's'}"
    return Finding(
        Outcome.PASS, f"{files_signed}, signed by {reply.signed_by}", signed_by=reply.signed_by
    )
