"""Tells programs outside of this service what became of a version."""

from typing import Protocol

from service.core.versions import ModelVersion


class StatusReporter(Protocol):
    """Takes news and returns immediately; nothing that it does with them disturbs what serves."""

    def serving(self, version: ModelVersion) -> None:
        """Take the news that new requests go to a version."""
        ...

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Take the news that a version will not serve, and why."""
        ...

    def retired(self, version: ModelVersion) -> None:
        """Take the news that a version that served is gone."""
        ...


class NullReporter:
    """A status reporter where nothing is to be told."""

    def serving(self, version: ModelVersion) -> None:
        """Tell nobody."""

    def refused(self, version: ModelVersion, reason: str) -> None:
        """Tell nobody."""

    def retired(self, version: ModelVersion) -> None:
        """Tell nobody."""
