"""A version's files in the store, as a pool sees them: kept as they were, whatever a model does."""

from collections.abc import Awaitable, Callable

import structlog

from service.core.errors import ServiceError
from service.core.versions import ModelVersion, StoredVersion
from service.workers.messages import Writes

Restore = Callable[[ModelVersion], Awaitable[StoredVersion]]
"""Has a version in the store as it was fetched: fetched again where its files have changed."""

_log = structlog.get_logger("pool")


class StoredFiles:
    """What is known of a model's writes, and what follows from it for its workers."""

    def __init__(self, stored: StoredVersion, restore: Restore | None) -> None:
        self._stored = stored
        self._restore = restore
        self.copied = False
        """Whether workers may share no file with the store: this model changes them in place."""

    async def note(self, writes: Writes) -> None:
        """Restore the store where a worker has just changed it; what fails is tried later."""
        if writes.reached_store:
            try:
                await self.restored()
            except ServiceError as error:
                _log.warning("version not restored in the store", reason=str(error))

    async def restored(self) -> bool:
        """Have the files as they were fetched, and have workers copy them; tell if that is so.

        Raise ServiceError where they can't be fetched now.
        """
        self.copied = True
        if self._restore is None:
            return False
        version = self._stored.version
        _log.warning("stored files were changed", model=version.name, version=version.version)
        restored = await self._restore(version)
        return restored.digest == self._stored.digest
