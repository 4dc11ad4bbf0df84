"""Where each version stands, from the moment it is wanted until it is gone."""

from datetime import UTC, datetime

import msgspec

from service.core.states import State, advance
from service.core.text import presentable
from service.core.versions import ModelVersion
from service.telemetry.observer import NULL_OBSERVER, Observer

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

    def __init__(self, version: ModelVersion, observer: Observer = NULL_OBSERVER) -> None:
        self.status = VersionStatus(version, State.NEW, datetime.now(UTC), "")
        self._observer = observer

    def transition(self, wanted: State, reason: str = "") -> None:
        """Go to the next state. Raise IllegalTransitionError for one that can't follow."""
        version, reason = self.status.version, presentable(reason)
        state = advance(self.status.state, wanted)
        self.status = VersionStatus(version, state, datetime.now(UTC), reason)
        self._observer.state_entered(version, state, reason)

    def note(self, reason: str) -> None:
        """Say how far it is within its state."""
        self.status = msgspec.structs.replace(self.status, reason=presentable(reason))


class Lifecycles:
    """The lifecycles of a deployment's versions; of those that are over only the last ones."""

    def __init__(self, observer: Observer = NULL_OBSERVER) -> None:
        self._observer = observer
        self._lifecycles: list[Lifecycle] = []

    def begin(self, version: ModelVersion) -> Lifecycle:
        """Begin a version's lifecycle, in state NEW."""
        lifecycle = Lifecycle(version, self._observer)
        self._lifecycles.append(lifecycle)
        over = [known for known in self._lifecycles if known.status.state in _OVER]
        for forgotten in over[: max(0, len(self._lifecycles) - KEPT_LIFECYCLES)]:
            self._lifecycles.remove(forgotten)
        return lifecycle

    def statuses(self) -> tuple[VersionStatus, ...]:
        """Return where each known version stands in its latest lifecycle, the newest one first."""
        newest: dict[ModelVersion, VersionStatus] = {}
        for lifecycle in reversed(self._lifecycles):
            newest.setdefault(lifecycle.status.version, lifecycle.status)
        return tuple(newest.values())
