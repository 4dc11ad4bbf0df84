"""What is the case: the state of every known version, and what was last seen of the registry."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from service.core.states import State, advance
from service.core.text import presentable
from service.core.versions import ModelVersion

KEPT_LIFECYCLES = 50
"""Lifecycles that are over are forgotten beyond this number, oldest first."""

_OVER = frozenset({State.UNLOADED, State.FAILED})


class VersionStatus(msgspec.Struct, frozen=True):
    """Where one version stands, since when, and why."""

    version: ModelVersion
    state: State
    since: datetime
    reason: str


class Lifecycle:
    """One version from the moment it is wanted until it is gone.

    A version that is wanted again begins another one, even while an earlier one still drains.
    """

    def __init__(self, version: ModelVersion) -> None:
        self.status = VersionStatus(version, State.NEW, datetime.now(UTC), "")

    def transition(self, wanted: State, reason: str = "") -> None:
        """Go to the next state. Raise IllegalTransitionError for one that can't follow."""
        state = advance(self.status.state, wanted)
        reason = presentable(reason)
        self.status = VersionStatus(self.status.version, state, datetime.now(UTC), reason)


class StateMonitor:
    """How things stand, for all who report it: readers get snapshots."""

    def __init__(self) -> None:
        self._lifecycles: list[Lifecycle] = []
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

    def begin(self, version: ModelVersion) -> Lifecycle:
        """Begin a version's lifecycle, in state NEW."""
        lifecycle = Lifecycle(version)
        self._lifecycles.append(lifecycle)
        over = [known for known in self._lifecycles if known.status.state in _OVER]
        for forgotten in over[: max(0, len(self._lifecycles) - KEPT_LIFECYCLES)]:
            self._lifecycles.remove(forgotten)
        return lifecycle

    def statuses(self) -> list[VersionStatus]:
        """Return where each known version stands in its latest lifecycle, the newest one first."""
        newest: dict[ModelVersion, VersionStatus] = {}
        for lifecycle in reversed(self._lifecycles):
            newest.setdefault(lifecycle.status.version, lifecycle.status)
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
