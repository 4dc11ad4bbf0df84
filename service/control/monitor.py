"""What is the case: the state of every known version, and what was last seen of the registry."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from service.core.states import State, advance
from service.core.text import presentable
from service.core.versions import ModelVersion

KEPT_LIVES = 50
"""Lives that are over are forgotten beyond this number, oldest first."""

_OVER = frozenset({State.UNLOADED, State.FAILED})


class VersionStatus(msgspec.Struct, frozen=True):
    """Where one version stands, since when, and why."""

    version: ModelVersion
    state: State
    since: datetime
    reason: str


class Life:
    """One version from the moment it is wanted until it is gone.

    A version that is wanted again begins another life, even while an earlier one still drains.
    """

    def __init__(self, version: ModelVersion) -> None:
        self.status = VersionStatus(version, State.NEW, datetime.now(UTC), "")

    def move(self, wanted: State, reason: str = "") -> None:
        """Go to the next state. Raise IllegalTransitionError for one that can't follow."""
        state = advance(self.status.state, wanted)
        reason = presentable(reason)
        self.status = VersionStatus(self.status.version, state, datetime.now(UTC), reason)


class StateMonitor:
    """Who wants to know how things stand reads here; readers get snapshots."""

    def __init__(self) -> None:
        self._lives: list[Life] = []
        self._last_good_look: float | None = None
        self.last_good_look_at: datetime | None = None
        self.registry_error = ""
        """Why the last look at the registry failed; '' where it did not."""
        self.promoted: ModelVersion | None = None
        """What the last good look found."""
        self.pin: ModelVersion | None = None
        """The version that serves whatever the registry says, if one was pinned."""
        self.held = ""
        """Why it is unknown whether a version is pinned, and what to do; '' where it is known."""
        self.troubles: tuple[str, ...] = ()
        """What is wrong with what is kept on the disk, a sentence each."""
        self.refused: Mapping[ModelVersion, str] = {}
        """The versions that are not to be tried again, and why."""
        self.passes_failed = 0
        """How many passes in a row the watcher could not finish."""

    def begin(self, version: ModelVersion) -> Life:
        """Begin a version's life, in state NEW."""
        life = Life(version)
        self._lives.append(life)
        over = [known for known in self._lives if known.status.state in _OVER]
        for forgotten in over[: max(0, len(self._lives) - KEPT_LIVES)]:
            self._lives.remove(forgotten)
        return life

    def statuses(self) -> list[VersionStatus]:
        """Return where each known version stands in its latest life, the newest life first."""
        newest: dict[ModelVersion, VersionStatus] = {}
        for life in reversed(self._lives):
            newest.setdefault(life.status.version, life.status)
        return list(newest.values())

    def looked(self, promoted: ModelVersion | None) -> None:
        """Note a good look at the registry, and what it found."""
        self._last_good_look = time.monotonic()
        self.last_good_look_at = datetime.now(UTC)
        self.registry_error = ""
        self.promoted = promoted

    def look_failed(self, error: str) -> None:
        """Note that the registry could not be asked."""
        self.registry_error = presentable(error)

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
