"""The store of versions, as a promotion needs it."""

from typing import Protocol

from service.core.versions import ModelVersion, StoredVersion


class HeldVersion(Protocol):
    """A version on disk that no service prunes until it is released."""

    stored: StoredVersion

    async def release(self) -> None:
        """Let the version be pruned; may be called twice."""
        ...


class VersionStore(Protocol):
    """Versions on disk, and what is written down of each pointer's.

    Each method raises FetchFailedError where the disk does not let it.
    """

    trouble: str
    """What is wrong with what the disk says of itself; '' where nothing is."""

    async def ensure_in_use(self, version: ModelVersion) -> HeldVersion:
        """Hold a version, which is fetched where it is missing or is not what was recorded."""
        ...

    async def mark_promoted(self, version: ModelVersion | None, pointer: str) -> None:
        """Have no service prune what is promoted."""
        ...

    async def mark_serving(self, version: ModelVersion, pointer: str) -> None:
        """Have no service prune what serves, not even while this one is stopped."""
        ...

    async def mark_good(self, stored: StoredVersion, pointer: str) -> None:
        """Make a version the last known good one."""
        ...

    async def last_good(self, pointer: str) -> StoredVersion | None:
        """Return the last known good version, None where there is none."""
        ...

    async def known(self) -> list[StoredVersion]:
        """Return every version that is on disk."""
        ...

    async def touch(self, pointer: str) -> None:
        """Write down that the pointer is still followed."""
        ...

    async def prune(self) -> list[str]:
        """Remove what no pointer needs; return the keys of that."""
        ...
