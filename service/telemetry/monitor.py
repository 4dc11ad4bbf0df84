"""What is the case: the state of every known version, and what was last seen of the registry."""

import time
from datetime import UTC, datetime

import msgspec

from service.core.states import State, advance
from service.core.versions import ModelVersion

KEPT_VERSIONS = 50
"""Versions that are gone are forgotten beyond this number, oldest first."""

_GONE = frozenset({State.UNLOADED, State.FAILED})


class VersionStatus(msgspec.Struct, frozen=True):
    """Where one version stands, since when, and why."""

    version: ModelVersion
    state: State
    since: datetime
    reason: str


class StateMonitor:
    """The only place where a version's state changes; readers get snapshots."""

    def __init__(self) -> None:
        self._statuses: dict[ModelVersion, VersionStatus] = {}
        self._last_good_look: float | None = None
        self.last_good_look_at: datetime | None = None
        self.registry_error = ""
        """Why the last look at the registry failed; '' where it did not."""
        self.promoted: ModelVersion | None = None
        """What the last good look found."""
        self.passes_failed = 0
        """How many passes in a row the watcher could not finish."""

    def move(self, version: ModelVersion, wanted: State, reason: str = "") -> None:
        """Note a version's next state. Raise IllegalTransitionError for one that can't follow."""
        status = self._statuses.get(version)
        if status is not None:
            advance(status.state, wanted)
        elif wanted is not State.NEW:
            advance(State.NEW, wanted)
        # Written anew at the end, so that the dictionary's order is that of the last changes.
        self._statuses.pop(version, None)
        self._statuses[version] = VersionStatus(version, wanted, datetime.now(UTC), reason)
        self._forget_oldest()

    def state(self, version: ModelVersion) -> State | None:
        """Return where a version stands, None for one never heard of."""
        status = self._statuses.get(version)
        return status.state if status else None

    def statuses(self) -> list[VersionStatus]:
        """Return a snapshot of all known versions, the last changed first."""
        return list(reversed(self._statuses.values()))

    def looked(self, promoted: ModelVersion | None) -> None:
        """Note a good look at the registry, and what it found."""
        self._last_good_look = time.monotonic()
        self.last_good_look_at = datetime.now(UTC)
        self.registry_error = ""
        self.promoted = promoted

    def look_failed(self, error: str) -> None:
        """Note that the registry could not be asked."""
        self.registry_error = error

    @property
    def has_looked(self) -> bool:
        """Whether the registry was ever seen."""
        return self._last_good_look is not None

    @property
    def registry_age_s(self) -> float | None:
        """Seconds since the last good look at the registry; None where there was none."""
        if self._last_good_look is None:
            return None
        return time.monotonic() - self._last_good_look

    def _forget_oldest(self) -> None:
        gone = [version for version, status in self._statuses.items() if status.state in _GONE]
        for version in gone[: max(0, len(self._statuses) - KEPT_VERSIONS)]:
            del self._statuses[version]
