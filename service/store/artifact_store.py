"""Versions on disk: written aside and renamed into place, read-only then, pruned while unused.

Below the cache folder:

    versions/<key>/model/         the artifacts, read-only
    versions/<key>/manifest.json  every file of them
    versions/<key>/version.json   the ModelVersion, and the manifest's digest
    versions/<key>/model.sig      its signature, where it was fetched after the artifacts
    compiled/<key>/               what was compiled of it, which goes when it does
    tmp/<key>...                  what is being fetched or removed
    locks/<key>.lock              held while that version's folders are changed
    locks/in-use/<key>/           one file, held, for each service that uses the version
    uses.json                     the order of last uses
    needs/<pointer>.json          the versions that a pointer needs: its last known good one, ...
    pointers/<pointer>.json       what is remembered of it: a pin, and what was refused

Locks are the operating system's, so that a crash releases them. What lies in tmp belongs to the
holder of the version's lock: without a holder, it is a leftover.
"""

import contextlib
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import filelock
import structlog
from anyio import CapacityLimiter
from anyio.from_thread import check_cancelled

from service.core.errors import FetchFailedError, StateUnreadableError, StoreCorruptError
from service.core.versions import ModelVersion, StoredVersion
from service.store import files, needs
from service.store.folder_locks import FolderLocks

T = TypeVar("T")

_THREADS = 4
_MODEL = "model"
_STATE_LOCK = "state"
_STATE_LOCK_S = 2.0
"""Another service is waited for up to this time where something else waits for us."""

_log = structlog.get_logger("store")


class InUse:
    """A version that this service uses: no service prunes it until `release`."""

    def __init__(
        self, stored: StoredVersion, locks: FolderLocks, lock: filelock.BaseFileLock
    ) -> None:
        self.stored = stored
        self._locks = locks
        self._lock = lock

    async def release(self) -> None:
        """Let the version be pruned; may be called twice."""
        await self._locks.release(self._lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()


class ArtifactStore:
    """A folder of versions that several services may share.

    `fetch(version, folder)` brings a version's artifacts into a new folder and returns the one
    that holds its MLmodel file. `lock_limit_s` is how long to wait for another service that is at
    work on a version, which is to be longer than a fetch may take. Every method works on files in
    `threads`, or a few of its own, and raises FetchFailedError where the disk does not let it.
    """

    def __init__(
        self,
        cache_dir: Path,
        keep_versions: int,
        fetch: Callable[[ModelVersion, Path], Awaitable[Path]],
        lock_limit_s: float = 960.0,
        threads: CapacityLimiter | None = None,
    ) -> None:
        self.cache_dir = cache_dir
        self._keep_versions = keep_versions
        self._fetch = fetch
        self._lock_limit_s = lock_limit_s
        self._limiter = threads or CapacityLimiter(_THREADS)
        self._versions = cache_dir / "versions"
        self._compiled = cache_dir / "compiled"
        self._tmp = cache_dir / "tmp"
        self._locks = FolderLocks(cache_dir / "locks", self.run, _held_for_long)
        self.trouble = ""
        """What is wrong with what this folder says of itself; '' where nothing is."""

    async def open(self) -> None:
        """Make the folders, and remove what dead processes left half done.

        What can't be removed or read stops no start.
        """
        for folder in (self._versions, self._tmp, self._locks.in_use):
            await self.run(partial(folder.mkdir, parents=True, exist_ok=True))
        await self.run(files.try_write, self._tmp)
        try:
            await self.run(needs.migrate, self.cache_dir)
        except (FetchFailedError, StateUnreadableError) as error:
            _log.warning("last known good versions of before not taken over", reason=str(error))
        for leftover in await self.run(files.names, self._tmp):
            await self._remove_leftover(leftover.partition("~")[0], self._tmp / leftover)
        for key in await self.run(files.names, self._compiled):
            if not await self.run((self._versions / key).exists):
                await self._remove_leftover(key, self._compiled / key)

    async def ensure(self, version: ModelVersion) -> StoredVersion:
        """Return the version on disk, fetched where it is missing or not what was recorded.

        Two services that want it together fetch it once. Cancelling leaves nothing behind.
        Raise what `fetch` raises.
        """
        async with self._locks.held(version.key, self._lock_limit_s):
            stored = await self._intact(version)
            if stored is None:
                stored = await self._bring(version)
        await self._note_use(version.key)
        return stored

    async def use(self, stored: StoredVersion) -> InUse:
        """Mark a stored version as used by this service.

        Raise StoreCorruptError where another service has pruned it since it was ensured.
        """
        key = stored.version.key
        async with self._locks.held(key, self._lock_limit_s):
            if not await self.run(stored.path.is_dir):
                raise StoreCorruptError(f"{key} was pruned before it was used")
            # All that can be cancelled comes before the mark: nobody would take it away.
            await self._note_use(key)
            lock = await self._locks.mark_use(key)
        return InUse(stored, self._locks, lock)

    async def ensure_in_use(self, version: ModelVersion) -> InUse:
        """Ensure a version and mark it as used, again where it was pruned between the two."""
        while True:
            stored = await self.ensure(version)
            with contextlib.suppress(StoreCorruptError):
                return await self.use(stored)

    async def prune(self) -> list[str]:
        """Remove old versions; return the keys of what was removed.

        Of each model as many as KEEP_VERSIONS stay, the last used; of those that nobody has used
        for long, none. Never goes what a pointer of any service needs, running or not, nor what is
        in use, or whose folders someone changes just now.
        """
        await self.run(needs.forget_unused, self.cache_dir)
        try:
            needed = await self.run(needs.all_keys, self.cache_dir)
        except StateUnreadableError as error:
            if not self.trouble:
                _log.warning("store not pruned", reason=str(error))
            self.trouble = f"nothing is pruned, since it is unknown what is needed: {error}"
            return []
        self.trouble = ""
        doomed = await self.run(self._doomed)
        return [key for key in doomed if key not in needed and await self._remove_unused(key)]

    def _doomed(self) -> list[str]:
        """Return the versions that are to go unless somebody needs them, the oldest first."""
        uses = files.read_uses(self.cache_dir / files.USES)
        models: dict[object, list[str]] = {}
        for key in files.names(self._versions):
            recorded = files.read_version(self._versions / key)
            models.setdefault(recorded.version.model if recorded else None, []).append(key)
        doomed: list[str] = []
        for keys in models.values():
            oldest_first = sorted(keys, key=lambda key: (uses.get(key, 0), key))
            too_many = max(0, len(keys) - self._keep_versions)
            doomed += oldest_first[:too_many]
            doomed += [
                key for key in oldest_first[too_many:] if needs.is_unused(self._versions / key)
            ]
        return sorted(doomed, key=lambda key: (uses.get(key, 0), key))

    async def mark_good(self, stored: StoredVersion, pointer: str) -> None:
        """Make it the last known good version of a pointer, which names its registry."""
        await self._note(pointer, good=stored.version.key)
        await self._note_use(stored.version.key)

    async def mark_serving(self, version: ModelVersion, pointer: str) -> None:
        """Note that a pointer's requests are answered by this version: nobody prunes it."""
        await self._note(pointer, serving=version.key)

    async def mark_promoted(self, version: ModelVersion | None, pointer: str) -> None:
        """Note what the registry promotes at a pointer: nobody prunes it."""
        await self._note(pointer, promoted=version.key if version else "")

    async def touch(self, pointer: str) -> None:
        """Note that a pointer is followed, so that what it needs is kept for months from now."""
        await self.run(needs.touch, self.cache_dir, pointer)

    async def last_good(self, pointer: str) -> StoredVersion | None:
        """Return a pointer's last known good version if it is on disk and intact.

        Raise StateUnreadableError where it is unknown which one that is.
        """
        key = (await self.run(needs.read, self.cache_dir, pointer)).good
        if not key:
            return None
        async with self._locks.held(key, _STATE_LOCK_S):
            version = await self.run(files.read_version, self._versions / key)
            return await self._intact(version.version) if version else None

    async def known(self) -> list[StoredVersion]:
        """Return every version on disk, the last used first, without reading its artifacts."""
        uses = await self.run(files.read_uses, self.cache_dir / files.USES)
        keys = await self.run(files.names, self._versions)
        found: list[StoredVersion] = []
        for key in sorted(keys, key=lambda key: -uses.get(key, 0)):
            recorded = await self.run(files.read_version, self._versions / key)
            if recorded is not None:
                found.append(self._stored(recorded.version, recorded.digest))
        return found

    async def run(self, function: Callable[..., T], *arguments: object, abandon: bool = False) -> T:
        """Run file work in one of the store's threads, to its end even if cancelled.

        What reads files whole ends then, if it is given `check_cancelled`. `abandon` is for what
        only reads: a cancelled caller goes on immediately.
        """
        try:
            return await anyio.to_thread.run_sync(
                partial(function, *arguments), limiter=self._limiter, abandon_on_cancel=abandon
            )
        except OSError as error:
            raise FetchFailedError(files.explain(error, self.cache_dir)) from error

    async def _bring(self, version: ModelVersion) -> StoredVersion:
        """Fetch into tmp, record, and rename into place; the caller holds the version's lock."""
        key = version.key
        aside = self._tmp / key
        try:
            await self.run(files.remove, aside)
            await self.run(partial((aside / "download").mkdir, parents=True))
            fetched = await self._fetch(version, aside / "download")
            digest = await self.run(
                files.record, fetched, aside / "version", version, check_cancelled
            )
            await self.run(files.move, aside / "version", self._versions / key)
        finally:
            with anyio.CancelScope(shield=True):
                await self._remove_quietly(aside)
        return self._stored(version, digest)

    async def _intact(self, version: ModelVersion) -> StoredVersion | None:
        """Return the version if its files are those recorded; remove what is not."""
        folder = self._versions / version.key
        if not await self.run(folder.exists):
            return None
        try:
            digest = await self.run(files.check, folder, version, check_cancelled, abandon=True)
        except StoreCorruptError as error:
            _log.warning("stored version is damaged and goes", key=version.key, reason=str(error))
            await self._discard(version.key)
            return None
        return self._stored(version, digest)

    def _stored(self, version: ModelVersion, digest: str) -> StoredVersion:
        return StoredVersion(version, self._versions / version.key / _MODEL, digest)

    async def _remove_unused(self, key: str) -> bool:
        async with self._locks.held_if_free(key) as is_free:
            if not is_free or await self._locks.is_used(key):
                return False
            await self._discard(key)
            await self._remove_quietly(self._compiled / key)
        return True

    async def _remove_leftover(self, key: str, folder: Path) -> None:
        """Remove what belongs to a version, unless somebody is at work on that."""
        try:
            async with self._locks.held_if_free(key) as is_free:
                if is_free:
                    await self.run(files.remove, folder)
        except FetchFailedError as error:
            _log.warning("leftover could not be removed", folder=folder.name, reason=str(error))

    async def _discard(self, key: str) -> None:
        """Rename out of sight first, so that no half-removed version can be seen."""
        aside = self._tmp / f"{key}~{uuid.uuid4().hex}"
        await self.run(files.move, self._versions / key, aside)
        with anyio.CancelScope(shield=True):
            await self._remove_quietly(aside)

    async def _remove_quietly(self, folder: Path) -> None:
        try:
            await self.run(files.remove, folder)
        except FetchFailedError as error:
            # The next open tries again.
            _log.warning("leftover could not be removed", folder=folder.name, reason=str(error))

    async def _note(self, pointer: str, **keys: str) -> None:
        await self.run(partial(needs.note, self.cache_dir, pointer, **keys))

    async def _note_use(self, key: str) -> None:
        """Make it the last used one. That is a hint for pruning, and worth no promotion."""
        try:
            async with self._locks.held(_STATE_LOCK, _STATE_LOCK_S):
                uses = self.cache_dir / files.USES
                await self.run(files.add_use, uses, self._versions, key)
        except FetchFailedError as error:
            _log.warning("use of a version not noted", key=key, reason=str(error))


def _held_for_long(name: str, limit_s: float) -> FetchFailedError:
    return FetchFailedError(
        f"another service has held the lock of {name} in CACHE_DIR for {limit_s:g} s"
    )
