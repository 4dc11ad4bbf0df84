"""The versions on disk that a pointer needs, such as its last known good one."""

import math

import anyio
import structlog

from service.core.errors import ServiceError
from service.core.versions import ModelVersion, StoredVersion
from service.store.version_store import VersionStore

_TOUCH_EVERY_S = 3600.0


class PointerNeeds:
    """Knows a pointer's last known good version, and has no service prune what the pointer needs.

    A disk that does not let it ends nothing: it is logged, and `troubles` say what follows.
    """

    def __init__(self, store: VersionStore, pointer: str) -> None:
        self.good: ModelVersion | None = None
        """The last known good version, as far as it was found or noted here."""
        self._store = store
        self._pointer = pointer
        self._has_looked = False
        self._unknown = ""
        """Why the last known good version of an earlier process can't be found."""
        self._touch_at = -math.inf
        self._log = structlog.get_logger("watcher")

    @property
    def troubles(self) -> tuple[str, str]:
        """What is wrong, a sentence each; '' where nothing is."""
        return "" if self.good else self._unknown, self._store.trouble

    async def find_good(self) -> None:
        """Find the last known good version of an earlier process, unless that was done."""
        if self.good is None and not self._has_looked:
            await self.look_for_good()

    async def look_for_good(self) -> ModelVersion | None:
        """Look for a last known good version where none is known here; return it."""
        if self.good is not None:
            return self.good
        try:
            found = await self._store.last_good(self._pointer)
        except (OSError, ServiceError) as error:
            # Tried again with the next pass.
            if not self._unknown:
                self._log.warning("last known good version can't be found", reason=str(error))
            self._unknown = f"the last known good version can't be found: {error}"
            return None
        self._unknown, self._has_looked = "", True
        if self.good is None and found is not None:
            self.good = found.version
        return self.good

    async def note_good(self, stored: StoredVersion) -> None:
        """Make this the version that serves after a start without the registry."""
        try:
            await self._store.mark_good(stored, self._pointer)
            self.good = stored.version
        except (OSError, ServiceError) as error:
            self._log.warning("last known good version not noted", reason=str(error))

    async def note_first_good(self, stored: StoredVersion) -> None:
        """Note a version as good where none is: one that is new is better than none."""
        if await self.look_for_good() is None and not self._unknown:
            await self.note_good(stored)

    async def note_serving(self, version: ModelVersion) -> None:
        """Have no service prune what serves, not even while this one is stopped."""
        try:
            await self._store.mark_serving(version, self._pointer)
        except (OSError, ServiceError) as error:
            self._log.warning("version that serves not noted", reason=str(error))

    async def note_promoted(self, promoted: ModelVersion | None) -> None:
        """Have no service prune what is promoted, not even while this one is stopped."""
        try:
            await self._store.mark_promoted(promoted, self._pointer)
        except (OSError, ServiceError) as error:
            self._log.warning("promoted version not noted", reason=str(error))

    async def tidy_up(self) -> None:
        """Say now and then that the pointer is followed, and prune where that was not possible."""
        try:
            if anyio.current_time() >= self._touch_at:
                self._touch_at = anyio.current_time() + _TOUCH_EVERY_S
                # What a pointer needs is kept for months from then on.
                await self._store.touch(self._pointer)
            if self._store.trouble:
                await self._store.prune()
        except (OSError, ServiceError) as error:
            self._log.warning("store not tidied up", reason=str(error))

    async def prune(self) -> None:
        """Remove versions that no pointer needs."""
        try:
            await self._store.prune()
        except (OSError, ServiceError) as error:
            self._log.warning("store not pruned", reason=str(error))
