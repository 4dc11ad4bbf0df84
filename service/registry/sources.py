"""The registry as the watcher sees it: a pointer that can be resolved."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from service.core.errors import ServiceError, SourceUnavailableError
from service.core.text import presentable
from service.core.versions import ModelRef, ModelVersion
from service.registry.messages import ResolveReply, ResolveRequest


class Source(Protocol):
    """Something that knows which version is wanted."""

    @property
    def ref(self) -> ModelRef:
        """The pointer that is followed."""
        ...

    @property
    def immutable(self) -> bool:
        """Whether what it resolved to once is what it will always resolve to."""
        ...

    @property
    def note(self) -> str:
        """A sentence about the last answer, '' where there is nothing to say."""
        ...

    async def resolve(self) -> ModelVersion | None:
        """Return the version that is wanted now, None where the registry says there is none.

        Raise SourceUnavailableError where the registry could not be asked: that is not None.
        """
        ...


class RegistrySource:
    """A Source whose registry is asked by `ask`, in a process that may fail or hang."""

    def __init__(
        self, ref: ModelRef, ask: Callable[[ResolveRequest], Awaitable[ResolveReply]]
    ) -> None:
        self._ref = ref
        self._ask = ask
        self._note = ""

    @property
    def ref(self) -> ModelRef:
        """The pointer that is followed."""
        return self._ref

    @property
    def immutable(self) -> bool:
        """Whether what it resolved to once is what it will always resolve to."""
        return self._ref.immutable

    @property
    def note(self) -> str:
        """A sentence about the last answer, '' where there is nothing to say."""
        return self._note

    async def resolve(self) -> ModelVersion | None:
        """Ask. Raise SourceUnavailableError, also where asking itself fails."""
        try:
            reply = await self._ask(ResolveRequest(self._ref))
        except SourceUnavailableError:
            raise
        except (ServiceError, OSError, TimeoutError) as error:
            raise SourceUnavailableError(
                presentable(f"the registry could not be asked for {self._ref.uri}: {error}")
            ) from error
        self._note = reply.note
        return reply.version
