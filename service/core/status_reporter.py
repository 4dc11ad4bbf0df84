"""Who wants to hear what became of a version, outside of this service."""

from typing import Protocol

from service.core.versions import ModelVersion


class Herald(Protocol):
    """Takes news and returns at once; nothing that it does with them disturbs what serves."""

    def serving(self, version: ModelVersion) -> None:
        """Hear that new requests go to a version."""
        ...

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Hear that a version will not serve, and why."""
        ...

    def retired(self, version: ModelVersion) -> None:
        """Hear that a version that served is gone."""
        ...


class Silence:
    """A herald that tells nobody."""

    def serving(self, version: ModelVersion) -> None:
        """Keep it."""

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Keep it."""

    def retired(self, version: ModelVersion) -> None:
        """Keep it."""
