"""All that a version needs on the disk before it can be loaded."""

from typing import Self

import anyio
import structlog

from service.core.environments import SHARED, BuildReport, Environment
from service.core.errors import ServiceError
from service.core.versions import StoredVersion
from service.environments.environment_store import HeldEnvironment
from service.store.version_store import HeldVersion


class Prepared:
    """A version's files and its environment, which no service removes until they are released."""

    def __init__(self, held: HeldVersion) -> None:
        self._held = held
        self._environment: HeldEnvironment | None = None
        self._log = structlog.get_logger("rollout")

    @property
    def stored(self) -> StoredVersion:
        """The version's files."""
        return self._held.stored

    @property
    def environment(self) -> Environment:
        """What it is to run in: the service's own environment where it has got none so far."""
        return SHARED if self._environment is None else self._environment.environment

    @property
    def built(self) -> BuildReport | None:
        """How its environment came to be there; None where none was looked for."""
        return None if self._environment is None else self._environment.report

    @property
    def is_new(self) -> bool:
        """Whether its environment was built for it just now."""
        built = self.built
        return built is not None and not self.environment.is_shared and not built.was_there

    def take(self, environment: HeldEnvironment) -> None:
        """Have it run in an environment, which is released with the files from now on."""
        self._environment = environment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def release(self) -> None:
        """Let all of it be removed; what can't be given back ends nothing that serves."""
        with anyio.CancelScope(shield=True):
            if self._environment is not None:
                await self._release(self._environment)
            await self._release(self._held)

    async def _release(self, held: HeldEnvironment | HeldVersion) -> None:
        try:
            await held.release()
        except (OSError, ServiceError) as error:
            self._log.warning("version not released in the store", reason=str(error))
