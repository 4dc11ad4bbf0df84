"""Environments on disk: built aside and renamed into place, held while used, pruned beyond a size.

Below the cache folder:

    environments/<key>/venv/          the environment
    environments/<key>/lock.txt       what it was installed from
    environments/<key>/manifest.json  every file of it
    environments/<key>/about.json     what it is, and the manifest's digest
    environments/.tmp/<key>~...       what is being built or removed
    environments/.locks/<key>.lock    held while that environment is built, checked or removed
    environments/.locks/in-use/<key>/ one file, held, for each use by a service
    environments/.uv/                 what uv has downloaded and unpacked
    environments/.uv-emptying         there while that is emptied, or was half emptied
    environments/.pythons/            Pythons that it has fetched

As in the store, locks are the operating system's, so that a crash releases them.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import filelock
import msgspec
import structlog
from anyio import CapacityLimiter

from service import windows
from service.core.environments import Environment
from service.core.errors import EnvironmentNotBuiltError
from service.store import files
from service.store.folder_locks import FolderLocks

T = TypeVar("T")

VENV = "venv"
LOCK = "lock.txt"
MANIFEST = "manifest.json"
ABOUT = "about.json"
FOLDER = "environments"
"""Below CACHE_DIR."""
_MOST_BYTES = 1_000_000
_BEHIND = ".locks"
_ASIDE = ".tmp"

_log = structlog.get_logger("environments")


class About(msgspec.Struct, frozen=True):
    """The content of about.json."""

    key: str
    python: str
    found_by: str
    lock_digest: str
    manifest_digest: str
    packages: int
    bytes: int
    built_s: float = 0.0
    """Unix seconds."""
    notes: tuple[str, ...] = ()


class Kept(msgspec.Struct, frozen=True):
    """An environment on disk, as a list of them shows it."""

    about: About
    folder: Path
    last_used_s: float
    """Unix seconds."""
    in_use: bool


class Held:
    """A use of an environment: no service removes it until `release`."""

    def __init__(
        self, about: About, locks: FolderLocks, lock: filelock.BaseFileLock, root: Path
    ) -> None:
        self.about = about
        self._locks = locks
        self._lock = lock
        self._root = root

    @property
    def environment(self) -> Environment:
        """The environment, as workers are started in it."""
        about = self.about
        interpreter = str(interpreter_of(self._root / about.key / VENV))
        return Environment(about.key, interpreter, about.python, about.manifest_digest)

    async def release(self) -> None:
        """Let it be removed; may be called twice."""
        await self._locks.release(self._lock)


class KeptEnvironments:
    """The folder of environments, which several services may share."""

    def __init__(self, cache_dir: Path, limiter: CapacityLimiter) -> None:
        self.root = cache_dir / FOLDER
        self._cache_dir = cache_dir
        self._tmp = self.root / _ASIDE
        self._locks = FolderLocks(self.root / _BEHIND, self.run, _held_for_long)
        self._limiter = limiter

    async def open(self) -> None:
        """Make the folders, and remove what dead processes left half done."""
        for folder in (self._tmp, self._locks.in_use):
            await self.run(partial(folder.mkdir, parents=True, exist_ok=True))
        for leftover in await self.run(files.names, self._tmp):
            try:
                async with self._locks.held_if_free(leftover.partition("~")[0]) as is_free:
                    if is_free:
                        await self.run(files.remove, self._tmp / leftover)
            except EnvironmentNotBuiltError as error:
                _log.warning("leftover could not be removed", folder=leftover, reason=str(error))

    def aside(self, key: str) -> Path:
        """Return a folder that does not exist yet, in which an environment may be built."""
        return self._tmp / f"{key}~{uuid.uuid4().hex}"

    def folder(self, key: str) -> Path:
        """Return where an environment is, or would be."""
        return self.root / key

    async def about(self, key: str) -> About | None:
        """Return what an environment says of itself, None where it is none."""
        return await self.run(_read_about, self.root / key)

    async def place(self, built: Path, about: About) -> None:
        """Put what was built into its place; the caller holds its lock.

        What is there by that name goes: those that use it find the same files in the new one.
        """
        await self.run((built / ABOUT).write_bytes, msgspec.json.encode(about))
        old = self.aside(about.key)
        await self.run(partial(_exchange, built, self.root / about.key, old))
        await self.remove_quietly(old)

    async def hold(self, about: About) -> Held:
        """Mark an environment as used; the caller holds its lock."""
        with anyio.CancelScope(shield=True):
            await self.run(_touch, self.root / about.key)
            lock = await self._locks.mark_use(about.key)
        return Held(about, self._locks, lock, self.root)

    async def known(self) -> list[Kept]:
        """Return every environment, the last used first."""
        return await self.run(self._known)

    async def prune(self, most_bytes: int) -> list[str]:
        """Remove environments that nothing uses, the least recently used first.

        Until all of them hold no more than `most_bytes`. Return the keys of those that went.
        """
        known = await self.known()
        total = sum(one.about.bytes for one in known)
        gone: list[str] = []
        for one in reversed(known):
            if total <= most_bytes:
                break
            if await self._remove_unused(one.about.key):
                total -= one.about.bytes
                gone.append(one.about.key)
        return gone

    async def size(self, folder: Path) -> int:
        """Return how many bytes the files below a folder have."""
        return await self.run(_size, folder)

    async def remove_quietly(self, folder: Path) -> None:
        """Remove a folder; what can't be removed goes at the next start."""
        with anyio.CancelScope(shield=True):
            try:
                await self.run(files.remove, folder)
            except EnvironmentNotBuiltError as error:
                _log.warning("leftover could not be removed", folder=folder.name, reason=str(error))

    def locked(self, key: str, limit_s: float) -> AbstractAsyncContextManager[None]:
        """Hold an environment's lock, waiting for it without holding a thread.

        Raise EnvironmentNotBuiltError where another service holds it for longer than `limit_s`.
        """
        return self._locks.held(key, limit_s)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run file work in a thread, to its end. Raise EnvironmentNotBuiltError for OSError."""
        try:
            return await anyio.to_thread.run_sync(
                partial(function, *arguments), limiter=self._limiter
            )
        except OSError as error:
            raise EnvironmentNotBuiltError(files.explain(error, self._cache_dir)) from error

    def _known(self) -> list[Kept]:
        found: list[Kept] = []
        for key in files.names(self.root):
            folder = self.root / key
            about = None if key.startswith(".") else _read_about(folder)
            if about is not None:
                with contextlib.suppress(FileNotFoundError):
                    in_use = _has_holders(self._locks.in_use / key)
                    found.append(Kept(about, folder, folder.stat().st_mtime, in_use))
        return sorted(found, key=lambda one: -one.last_used_s)

    async def _remove_unused(self, key: str) -> bool:
        async with self._locks.held_if_free(key) as is_free:
            if not is_free or await self._locks.is_used(key):
                return False
            aside = self.aside(key)
            await self.run(files.move, self.root / key, aside)
            await self.remove_quietly(aside)
        return True


def _held_for_long(_: str, limit_s: float) -> EnvironmentNotBuiltError:
    return EnvironmentNotBuiltError(
        f"another service has been at work on the same environment for {limit_s:g} s"
    )


def interpreter_of(venv: Path) -> Path:
    """Return the path of an environment's Python."""
    return venv / windows.python_of_venv()


def now_s() -> float:
    """Return the time as it is written down: Unix seconds."""
    return time.time()


def _read_about(folder: Path) -> About | None:
    try:
        about = msgspec.json.decode(files.read_small(folder / ABOUT, _MOST_BYTES), type=About)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return about if about.key == folder.name else None


def _has_holders(folder: Path) -> bool:
    """Tell whether a mark in this folder is held, and leave those that are not: no lock is held."""
    for name in files.names(folder):
        mark = filelock.FileLock(folder / name, thread_local=False)
        try:
            mark.acquire(blocking=False)
        except filelock.Timeout:
            return True
        mark.release()
    return False


def _size(folder: Path) -> int:
    found = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += (Path(at) / name).lstat().st_size
    return found


def _touch(folder: Path) -> None:
    os.utime(folder)


def _exchange(built: Path, place: Path, old: Path) -> None:
    if os.path.lexists(place):
        files.move(place, old)
    files.move(built, place)
