"""The status of a deployment, for all that report it."""

import time
from collections.abc import Mapping
from datetime import datetime

import msgspec

from service.control.environment_wait import EnvironmentWait
from service.control.lifecycle import VersionStatus
from service.core.versions import ModelVersion


class RegistryLook(msgspec.Struct, frozen=True):
    """The last look at the registry.

    `promoted` is what the last good look found, `error` why the last one failed, '' where it did
    not. `seen_at` and `seen_s`, by a monotonic clock, are the time of the last good look; None
    before the first one.
    """

    promoted: ModelVersion | None = None
    error: str = ""
    seen_at: datetime | None = None
    seen_s: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether the registry was ever seen."""
        return self.seen_s is not None

    @property
    def age_s(self) -> float | None:
        """Seconds since the last good look; None where there was none."""
        return None if self.seen_s is None else time.monotonic() - self.seen_s


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot: it does not change, and nobody changes anything by it.

    `pin` is the version that serves whatever the registry says, if one was pinned; `held` says why
    that is unknown, and what to do. `refused` are the versions that are not to be tried again, and
    why. `troubles` say what is wrong with what is kept on the disk, a sentence each.
    `passes_failed` is how many passes in a row the watcher could not finish. `waiting` is the
    version that waits for its environment, where one does.
    """

    registry: RegistryLook
    pin: ModelVersion | None
    held: str
    refused: Mapping[ModelVersion, str]
    versions: tuple[VersionStatus, ...]
    troubles: tuple[str, ...]
    passes_failed: int
    waiting: EnvironmentWait | None = None

    @property
    def wanted(self) -> ModelVersion | None:
        """The version that is to serve: the pin, or else what the registry promotes."""
        return self.pin or self.registry.promoted

    def why_not(self, pointer: str) -> str:
        """Say why what is wanted at a pointer does not serve, in words for people."""
        if self.held:
            return self.held
        wanted = self.wanted
        if wanted is None:
            if not self.registry.is_known:
                return self.registry.error or "the registry was not seen yet"
            return f"nothing is promoted at {pointer}"
        return self._why_not(wanted)

    def _why_not(self, wanted: ModelVersion) -> str:
        if (refused := self.refused.get(wanted)) is not None:
            return f"version {wanted.version} was refused: {refused}"
        if self.waiting is not None and self.waiting.version == wanted:
            return self.waiting.told
        for known in self.versions:
            if known.version == wanted:
                reason = f": {known.reason}" if known.reason else ""
                return f"version {wanted.version} is {known.state}{reason}"
        return f"version {wanted.version} is to be loaded"
