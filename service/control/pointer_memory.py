"""The memory of a pointer's pin and refusals, which outlasts a process."""

from collections.abc import Collection
from typing import Protocol

from service.core.versions import ModelVersion
from service.store.pointer_file import Memory, Refusal


class PointerMemory(Protocol):
    """The pin and the refusals of one pointer."""

    held: str
    """Why it is unknown whether a version is pinned, and what to do; '' where it is known."""
    trouble: str
    """Why what it is now can't be written down; '' where it can."""

    async def recall(self) -> Memory | None:
        """Return what is remembered where that has changed since the last call, else None.

        Nothing is raised: `held` and `trouble` say what could not be done.
        """
        ...

    async def remember_pin(self, pin: ModelVersion | None) -> None:
        """Write down that this version is pinned, or none; `trouble` says where that failed."""
        ...

    async def remember_refusals(
        self, refusals: Collection[Refusal], lifted: Collection[ModelVersion]
    ) -> None:
        """Write down what is refused here, and what is no more; others' refusals stay."""
        ...
