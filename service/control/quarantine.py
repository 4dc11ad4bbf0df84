"""Versions that were refused: no second try until the pointer moves or somebody asks."""

from collections.abc import Iterable

from service.core.errors import RefusedError
from service.core.versions import ModelVersion
from service.store.pointer_file import Refusal

MOST_REFUSALS = 50
"""More versions than these are refused only where one after the other is pinned."""


class Quarantine:
    """The versions that were refused, and whether that is written down yet."""

    def __init__(self) -> None:
        self._refused: dict[ModelVersion, RefusedError] = {}
        self._lifted: set[ModelVersion] = set()
        self.changed = False
        """Whether it differs from what was last taken by `refusals`."""

    @property
    def versions(self) -> frozenset[ModelVersion]:
        """The versions that are not to be tried."""
        return frozenset(self._refused)

    def refuse(self, version: ModelVersion, error: RefusedError) -> None:
        """Put a version in; where too many pins were refused, the first of them is let out."""
        self._refused.pop(version, None)
        self._refused[version] = error
        if len(self._refused) > MOST_REFUSALS:
            self.lift(next(iter(self._refused)))
        self._lifted.discard(version)
        self.changed = True

    def lift(self, version: ModelVersion | None) -> None:
        """Let one version out, if it is in."""
        if version is not None and self._refused.pop(version, None) is not None:
            self._lifted.add(version)
            self.changed = True

    def keep_only(self, version: ModelVersion | None) -> None:
        """Let all others out: the pointer has moved, to this version."""
        for other in [known for known in self._refused if known != version]:
            self.lift(other)

    def reason(self, version: ModelVersion) -> RefusedError | None:
        """Return why a version is in, None where it is not."""
        return self._refused.get(version)

    def reasons(self) -> dict[ModelVersion, str]:
        """Return all that is in, and why."""
        return {version: str(error) for version, error in self._refused.items()}

    def restore(self, refusals: Iterable[Refusal]) -> None:
        """Put in what an earlier process refused."""
        for refusal in refusals:
            error = RefusedError(refusal.reason, refusal.verdicts)
            self._refused.setdefault(refusal.version, error)

    def lifted(self) -> frozenset[ModelVersion]:
        """Return what was let out since the last call, for writing down."""
        lifted, self._lifted = frozenset(self._lifted), set()
        return lifted

    def refusals(self) -> tuple[Refusal, ...]:
        """Return all of it for writing down."""
        self.changed = False
        return tuple(
            Refusal(version, str(error), error.verdicts) for version, error in self._refused.items()
        )
