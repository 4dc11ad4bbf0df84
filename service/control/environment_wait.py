"""A promotion that waits for its version's environment: since when, and why."""

import time
from datetime import UTC, datetime

import msgspec

from service.core.environments import BuildProgress
from service.core.errors import EnvironmentNotBuiltError, ServiceError
from service.core.text import LISTED_CHARACTERS, presentable
from service.core.versions import ModelVersion


class EnvironmentWait(msgspec.Struct, frozen=True):
    """One version whose environment is being built, or is to be tried again.

    `since` and `since_s`, by a monotonic clock, are when its first build began. `progress` is how
    far the build is, None while none is under way; `reason` is why the last one failed, '' before
    that, and `failed` how many did.
    """

    version: ModelVersion
    since: datetime
    since_s: float
    progress: BuildProgress | None
    reason: str = ""
    failed: int = 0

    @property
    def age_s(self) -> float:
        """Seconds since its first build began."""
        return time.monotonic() - self.since_s

    @property
    def told(self) -> str:
        """What is waited for, and since when, in words for people."""
        since = self.since.strftime("%Y-%m-%d %H:%M:%SZ")
        sentence = f"version {self.version.version} waits for its environment since {since}"
        if self.reason:
            sentence += f", of which {self.failed} builds failed: {self.reason}"
        if self.progress is not None:
            sentence += f" ({self.progress.told})"
        return sentence


class EnvironmentWaits:
    """Notes the version of a deployment that waits: one at a time, as one candidate loads."""

    def __init__(self) -> None:
        self._wait: EnvironmentWait | None = None

    def of(self, version: ModelVersion | None) -> EnvironmentWait | None:
        """Return how a version waits, None for one that does not."""
        wait = self._wait
        return wait if wait is not None and wait.version == version else None

    def progressed(self, version: ModelVersion, progress: BuildProgress) -> None:
        """Note that its environment is being built, and how far that is."""
        wait = self.of(version)
        if wait is None:
            self._wait = EnvironmentWait(version, datetime.now(UTC), time.monotonic(), progress)
        else:
            self._wait = msgspec.structs.replace(wait, progress=progress)

    def failed(self, version: ModelVersion, error: ServiceError) -> None:
        """Note that a build failed and is tried again; whatever else fails is no such wait."""
        if not isinstance(error, EnvironmentNotBuiltError):
            self.ended(version)
            return
        wait = self.of(version) or EnvironmentWait(
            version, datetime.now(UTC), time.monotonic(), None
        )
        self._wait = msgspec.structs.replace(
            wait,
            progress=None,
            reason=presentable(str(error), LISTED_CHARACTERS),
            failed=wait.failed + 1,
        )

    def ended(self, version: ModelVersion) -> None:
        """Note that a version waits no more: it has what it needs, or won't get it."""
        if self.of(version) is not None:
            self._wait = None

    def stopped(self, version: ModelVersion | None) -> None:
        """Note that nothing is under way any more: only a build that failed is still waited for."""
        wait = self.of(version)
        if wait is not None and wait.progress is not None:
            self._wait = None
