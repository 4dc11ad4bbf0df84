"""The environments of all versions of a service: found, locked, built, held and pruned."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import structlog
from anyio import CapacityLimiter

from service.core.environments import (
    SHARED,
    BuildProgress,
    BuildReport,
    Environment,
    EnvironmentSettings,
)
from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError
from service.core.versions import StoredVersion
from service.environments.building import Builder, Built
from service.environments.differences import differences, requirements_of
from service.environments.files import EnvironmentFiles, FilesProcesses
from service.environments.importing import IMPORT_S
from service.environments.indexes import trusted_urls
from service.environments.kept import MANIFEST, VENV, About, Held, KeptEnvironments
from service.environments.locking import Lock, Locks, key_of
from service.environments.messages import UV_LOCK, Needs, ReadRequest
from service.environments.pythons import Python, Pythons
from service.environments.uv import Progress, Uv
from service.processes.child_threads import ChildThreads
from service.processes.temp import remove_folder

_THREADS = 4
_PROJECT = "project"

_log = structlog.get_logger("environments")


class HeldEnvironment:
    """The environment of a version, which nobody removes until it is released."""

    def __init__(
        self, environment: Environment, report: BuildReport, held: Held | None = None
    ) -> None:
        self.environment = environment
        self.report = report
        self._held = held

    async def release(self) -> None:
        """Let the environment be removed; may be called twice."""
        if self._held is not None:
            await self._held.release()


class Environments:
    """Gives each version its environment; a service has one of these.

    One build is under way at a time. A version whose environment is there waits for none.
    """

    def __init__(
        self,
        cache_dir: Path,
        temp_dir: Path,
        threads: ChildThreads,
        variables: Mapping[str, str],
        start_timeout_s: float = 60.0,
        import_s: float = IMPORT_S,
    ) -> None:
        """`variables` are uv's, as `variables.py` selects them; workers get none of them."""
        limiter = CapacityLimiter(_THREADS)
        self.kept = KeptEnvironments(cache_dir, limiter)
        self.uv = Uv(self.kept.root, temp_dir, variables, limiter)
        self.import_s = import_s
        self.pythons = Pythons(self.uv)
        self.locks = Locks(self.uv, self.kept)
        self.turn = anyio.Lock()
        self.read_whole: set[str] = set()
        """The environments that were read whole since this service has started."""
        self._temp_dir = temp_dir
        self._files = FilesProcesses(temp_dir, threads, start_timeout_s)

    async def open(self) -> None:
        """Make the folders, and remove what dead processes left half done."""
        await self.kept.open()

    async def close(self) -> None:
        """End every process of its own."""
        await self._files.close()

    async def ensure(
        self, stored: StoredVersion, wanted: EnvironmentSettings, progress: Progress
    ) -> HeldEnvironment:
        """Return what a version runs in, built where it is missing.

        Cancelling ends a build and leaves nothing of it. Raise EnvironmentRefusedError for what
        no other try can mend, EnvironmentNotBuiltError for what one may.
        """
        if wanted.mode == "shared":
            return HeldEnvironment(SHARED, BuildReport())
        began = time.monotonic()
        held: HeldEnvironment | None = None
        try:
            async with self._search(stored, wanted, progress) as search:
                held = await search.ensure()
        except BaseException:
            if held is not None:
                await held.release()
            raise
        seconds = time.monotonic() - began
        held.report = msgspec.structs.replace(held.report, seconds=seconds)
        return held

    def files(self) -> AbstractAsyncContextManager[EnvironmentFiles]:
        """Have a child that reads environments' files, and what comes with versions."""
        return self._files.one()

    @asynccontextmanager
    async def _search(
        self, stored: StoredVersion, wanted: EnvironmentSettings, progress: Progress
    ) -> AsyncIterator["_Search"]:
        folder = self._temp_dir / f"environment-{uuid.uuid4().hex}"
        try:
            await self.kept.run(folder.mkdir)
            async with self._files.one() as files:
                yield _Search(self, stored, wanted, progress, files, folder)
        finally:
            await remove_folder(folder)

    async def prune(self, most_bytes: int) -> list[str]:
        """Remove environments that nothing uses, while all of them hold more than this.

        The least recently used go first. Where what is left and uv's cache hold more, the cache
        goes too, unless a build is under way: it saves time, and nothing else. Return the keys of
        what went.
        """
        gone = await self.kept.prune(most_bytes)
        for key in gone:
            _log.info("environment removed", key=key, setting="ENV_CACHE_BYTES")
        known = await self.kept.known()
        total = sum(one.about.bytes for one in known) + await self.kept.size(self.uv.cache)
        if total > most_bytes and not self.turn.locked():
            async with self.turn:
                try:
                    await self.uv.clean()
                except EnvironmentNotBuiltError as error:
                    # Another service is at work with it, or it takes longer than may be waited.
                    _log.warning("uv's cache not emptied", reason=str(error))
        return gone


class _Search:
    """One version's way to its environment."""

    def __init__(
        self,
        environments: Environments,
        stored: StoredVersion,
        wanted: EnvironmentSettings,
        progress: Progress,
        files: EnvironmentFiles,
        folder: Path,
    ) -> None:
        self._all = environments
        self._kept = environments.kept
        self._stored = stored
        self._wanted = wanted
        self._progress = progress
        self._files = files
        self._folder = folder
        self._needs = Needs()
        self._python = Python("", "")
        self._differs: tuple[str, ...] = ()

    async def ensure(self) -> HeldEnvironment:
        """Return the environment, held."""
        await self._read()
        # What a project's lock says of this machine, uv has to say.
        if self._needs.found_by != UV_LOCK and await self._shares(self._needs.requirements):
            return self._shared()
        lock = await self._known_lock()
        if lock is not None and (held := await self._there(lock)) is not None:
            return held
        async with self._in_turn():
            return await self._made(lock)

    async def _read(self) -> None:
        """Have the version's files read. Raise EnvironmentRefusedError for what they want."""
        request = ReadRequest(
            str(self._stored.path),
            str(self._folder / _PROJECT),
            self._wanted.allow_urls,
            trusted_urls(self._all.uv.variables),
        )
        self._needs = await self._files.read(request)
        if self._needs.refusal:
            raise EnvironmentRefusedError(self._needs.refusal)

    async def _known_lock(self) -> Lock | None:
        """Return the lock that was made of the same before, once its Python is found."""
        if not self._needs.found_by:
            raise EnvironmentRefusedError(
                "the version names no packages that an environment could be made of"
            )
        self._python = await self._all.pythons.find(
            self._needs.python, self._wanted.timeout_s, self._progress
        )
        return await self._all.locks.known(
            self._stored.version, self._needs, self._python, self._wanted
        )

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Wait until no other build is under way; the wait does not count for the time limit."""
        if self._all.turn.locked():
            self._progress(BuildProgress("wait", "another environment is being built"))
        async with self._all.turn:
            try:
                with anyio.fail_after(self._wanted.timeout_s):
                    yield
            except TimeoutError:
                raise EnvironmentNotBuiltError(
                    "its environment was not built within "
                    f"{self._wanted.timeout_s:g} s (ENV_TIMEOUT_S)"
                ) from None

    async def _made(self, lock: Lock | None) -> HeldEnvironment:
        """Lock what is not locked yet, and build what is not there."""
        if lock is None:
            lock = await self._all.locks.make(
                self._stored.version,
                self._needs,
                self._python,
                self._wanted,
                self._folder,
                self._progress,
            )
            if (there := await self._there(lock)) is not None:
                return there
        builder = Builder(
            self._all.uv,
            self._kept,
            self._files,
            self._wanted,
            self._progress,
            self._all.import_s,
        )
        key = key_of(lock, self._needs.found_by, self._python)
        built: Built | None = None
        async with self._kept.locked(key, self._wanted.timeout_s):
            # Another service may have built it while this one waited.
            about = await self._intact(key)
            if about is None:
                project = str(self._folder / _PROJECT) if self._needs.found_by == UV_LOCK else ""
                given = msgspec.structs.replace(lock, project=project)
                built = await builder.build(key, self._stored, self._needs, self._python, given)
                about = built.about
                self._all.read_whole.add(key)
            held = await self._kept.hold(about)
        return self._held(held, built)

    async def _there(self, lock: Lock) -> HeldEnvironment | None:
        """Return what a lock asks for, if that is the service's own or was built before."""
        if self._needs.found_by == UV_LOCK and await self._shares(requirements_of(lock.text)):
            return self._shared()
        key = key_of(lock, self._needs.found_by, self._python)
        async with self._kept.locked(key, self._wanted.timeout_s):
            about = await self._intact(key)
            if about is None:
                return None
            return self._held(await self._kept.hold(about))

    async def _shares(self, requirements: tuple[str, ...]) -> bool:
        """Tell whether the service's own environment has all that the version needs."""
        if self._wanted.mode != "auto":
            return False
        self._differs = await differences(self._needs.python, requirements)
        return not self._differs

    async def _intact(self, key: str) -> About | None:
        """Return an environment that is as it was built; the caller holds its lock.

        It is read whole once after each start of the service. One that is damaged stays where it
        is until another one takes its place, since workers may be running in it.
        """
        about = await self._kept.about(key)
        if about is None:
            return None
        folder = self._kept.folder(key)
        fully = key not in self._all.read_whole
        difference = await self._files.difference(
            folder / VENV, folder / MANIFEST, about.manifest_digest, fully=fully
        )
        if difference:
            _log.warning("environment is damaged and is built again", key=key, reason=difference)
            return None
        self._all.read_whole.add(key)
        return about

    def _shared(self) -> HeldEnvironment:
        return HeldEnvironment(SHARED, BuildReport(found_by=self._needs.found_by))

    def _held(self, held: Held, built: Built | None = None) -> HeldEnvironment:
        about = held.about
        report = BuildReport(
            found_by=about.found_by,
            lock_digest=about.lock_digest,
            packages=about.packages,
            differs=self._differs,
            was_there=built is None,
            download_s=built.download_s if built else 0.0,
            install_s=built.install_s if built else 0.0,
            downloaded_bytes=built.downloaded_bytes if built else 0,
            bytes=about.bytes,
            notes=about.notes,
        )
        return HeldEnvironment(held.environment, report, held)
