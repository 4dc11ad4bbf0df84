"""The environments of versions, as a promotion needs them."""

from collections.abc import Callable
from typing import Protocol

from service.core.environments import BuildProgress, BuildReport, Environment, EnvironmentSettings
from service.core.versions import StoredVersion

OnProgress = Callable[[BuildProgress], None]
"""Told on the event loop how far a build is; returns immediately and raises nothing."""


class HeldEnvironment(Protocol):
    """An environment that no service removes until it is released."""

    environment: Environment
    report: BuildReport
    """How it came to be here."""

    async def release(self) -> None:
        """Let the environment be removed; may be called twice."""
        ...


class EnvironmentStore(Protocol):
    """The environments on disk, and what builds those that are missing."""

    async def ensure(
        self, stored: StoredVersion, wanted: EnvironmentSettings, progress: OnProgress
    ) -> HeldEnvironment:
        """Hold the environment for a version, which is built where it is missing.

        Raise EnvironmentRefusedError where it can't be had, however often that is tried, and
        EnvironmentNotBuiltError, or another ServiceError, where it may work later. Cancelled, it
        ends what it has started and holds nothing.
        """
        ...

    async def prune(self, most_bytes: int) -> list[str]:
        """Remove environments that nothing uses, while all of them hold more; return their keys."""
        ...
