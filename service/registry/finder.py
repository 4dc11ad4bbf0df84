"""Find a version by its number, for a pin: in the registry, or else in the store."""

from collections.abc import Awaitable, Callable

from service.core.errors import SourceUnavailableError, UnknownVersionError
from service.core.versions import ModelRef, ModelVersion, version_number
from service.registry.messages import ResolveReply, ResolveRequest
from service.registry.sources import RegistrySource
from service.store.version_store import VersionStore

_SHOWN = 40
"""A sentence repeats this many characters of a caller's text."""


class VersionFinder:
    """Finds versions of the registered model that the pointer is about.

    `model` is what `ModelVersion.model` says of them: the store may hold versions of other
    registries and workspaces, with the same numbers.
    """

    def __init__(
        self,
        ref: ModelRef,
        model: tuple[str, str, str],
        ask: Callable[[ResolveRequest], Awaitable[ResolveReply]],
        store: VersionStore,
    ) -> None:
        self._ref = ref
        self._model = model
        self._ask = ask
        self._store = store

    async def find(self, number: str) -> ModelVersion:
        """Return the version of this number.

        Raise UnknownVersionError where neither has it, SourceUnavailableError where the store has
        not and the registry can't be asked.
        """
        if not self._ref.name:
            raise UnknownVersionError(f"{self._ref.uri} is no registered model: it has no versions")
        if version_number(number) is None:
            raise UnknownVersionError(f"{number[:_SHOWN]!r} is no version number")
        ref = ModelRef.for_stage(self._ref.name, number)
        unavailable: SourceUnavailableError | None = None
        try:
            found = await RegistrySource(ref, self._ask).resolve()
        except SourceUnavailableError as error:
            found, unavailable = None, error
        if found is not None:
            return found
        for stored in await self._store.known():
            version = stored.version
            if (version.model, version.version) == (self._model, ref.target):
                return version
        if unavailable is not None:
            raise unavailable
        raise UnknownVersionError(f"neither the registry nor the store has {ref.uri}")
