"""What tells others, outside of this service, what became of a version."""

from typing import Protocol

from service.core.versions import ModelVersion


class StatusReporter(Protocol):
    """Takes news and returns immediately; nothing that it does with them disturbs what serves."""

    def serving(self, version: ModelVersion) -> None:
        """Hear that new requests go to a version."""
        ...

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Hear that a version will not serve, and why."""
        ...

    def retired(self, version: ModelVersion) -> None:
        """Hear that a version that served is gone."""
        ...


class NullReporter:
    """A status reporter that tells nobody."""

    def serving(self, version: ModelVersion) -> None:
        """Keep it."""

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Keep it."""

    def retired(self, version: ModelVersion) -> None:
        """Keep it."""
