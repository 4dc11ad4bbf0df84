"""Locks between services that share a folder, waited for without holding a thread.

    <name>.lock      held while what has this name is changed
    in-use/<name>/   one file, held, for each use of it

They are the operating system's, so that a crash releases them.
"""

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import filelock

from service.core.errors import ServiceError
from service.store import files

IN_USE = "in-use"
_POLL_S = 0.05


class FolderLocks:
    """The locks that lie in one folder.

    `run` does file work in a thread and raises its owner's errors; `late` returns the error for a
    name whose lock another service has held for a number of seconds.
    """

    def __init__(
        self,
        folder: Path,
        run: Callable[..., Awaitable[Any]],
        late: Callable[[str, float], ServiceError],
    ) -> None:
        self.in_use = folder / IN_USE
        self._folder = folder
        self._run = run
        self._late = late

    @contextlib.asynccontextmanager
    async def held(self, name: str, limit_s: float) -> AsyncIterator[None]:
        """Hold a name's lock, which is waited for up to `limit_s` seconds. Raise what `late` is."""
        lock = self._lock(name)
        ends = anyio.current_time() + limit_s
        while not await self._run(files.try_lock, lock):
            if anyio.current_time() > ends:
                raise self._late(name, limit_s)
            await anyio.sleep(_POLL_S)
        try:
            yield
        finally:
            await self.release(lock)

    @contextlib.asynccontextmanager
    async def held_if_free(self, name: str) -> AsyncIterator[bool]:
        """Hold a name's lock unless somebody else does, and tell whether it is held."""
        lock = self._lock(name)
        if not await self._run(files.try_lock, lock):
            yield False
            return
        try:
            yield True
        finally:
            await self.release(lock)

    async def mark_use(self, name: str) -> filelock.BaseFileLock:
        """Mark a name as used until the lock that is returned is released.

        The caller holds the name's lock.
        """
        while True:
            # A name that nobody reuses: a service that finds it unlocked may delete it.
            mark = self.in_use / name / f"{uuid.uuid4().hex}.lock"
            lock = filelock.FileLock(mark, thread_local=False)
            # One that looks who is here may hold it for that moment, and then delete it.
            if await self._run(files.try_lock, lock):
                if await self._run(mark.exists):
                    return lock
                await self.release(lock)

    async def is_used(self, name: str) -> bool:
        """Tell whether any service uses what has this name. The caller holds the name's lock."""
        used: bool = await self._run(files.is_held, self.in_use / name)
        return used

    async def release(self, lock: filelock.BaseFileLock) -> None:
        """Give a lock back, even where the caller is cancelled; may be called twice."""
        with anyio.CancelScope(shield=True):
            await self._run(files.release, lock)

    def _lock(self, name: str) -> filelock.BaseFileLock:
        return filelock.FileLock(self._folder / f"{name}.lock", thread_local=False)
