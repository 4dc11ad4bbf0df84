"""The changes that the watcher is asked for: handlers write and wait, the watcher acts.

Spec and status, as Kubernetes has it: each change request has a generation. Its maker waits until
the watcher has observed that generation, and what it found is settled.
"""

import asyncio

import anyio

from service.core.errors import ServiceError
from service.core.events import Trigger
from service.core.versions import ModelVersion


class ChangeRequest:
    """Asks for a look at the registry, now, and that what it finds serves."""

    trigger = Trigger.RELOAD

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.observed = False
        """Whether a look that began after the change request has told what is promoted."""
        self.target: ModelVersion | None = None
        """The version that look found, None for none."""
        self.loaded = False
        """Whether the target was not yet serving when the look found it."""
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_settled(self) -> bool:
        """Whether its maker has been told what came of it."""
        return self._settled.done()

    def succeed(self) -> None:
        """Say that the target serves."""
        if not self.is_settled:
            self._settled.set_result(None)

    def fail(self, error: ServiceError) -> None:
        """Say why the target does not serve, or could not be found."""
        if not self.is_settled:
            self._settled.set_exception(error)
            self._settled.exception()  # read, or asyncio logs it where the waiter has gone

    async def settled(self) -> ModelVersion:
        """Wait until the target serves and return it; raise what was said to `fail`."""
        # Shielded: the watcher may settle what its waiter has given up on.
        await asyncio.shield(self._settled)
        assert self.target is not None  # noqa: S101 - only an observed change succeeds
        return self.target


class Pin(ChangeRequest):
    """Asks that a version serves whatever the registry says."""

    trigger = Trigger.PIN

    def __init__(self, generation: int, number: str) -> None:
        super().__init__(generation)
        self.number = number


class Unpin(ChangeRequest):
    """Asks that the registry is followed again."""

    trigger = Trigger.PIN


class DesiredState:
    """The change requests that are open, and the event that wakes the watcher for them."""

    def __init__(self) -> None:
        self.generation = 0
        self._changes: list[ChangeRequest] = []
        self._wakeup = anyio.Event()
        self._woken_by = Trigger.POLL

    def reload(self) -> ChangeRequest:
        """Ask for a look at the registry; return what to wait on."""
        return self._add(ChangeRequest(self._next()))

    def pin(self, number: str) -> ChangeRequest:
        """Ask that this version serves, whatever is promoted; return what to wait on."""
        return self._add(Pin(self._next(), number))

    def unpin(self) -> ChangeRequest:
        """Ask that the registry is followed again; return what to wait on."""
        return self._add(Unpin(self._next()))

    def _next(self) -> int:
        self.generation += 1
        return self.generation

    def _add(self, change: ChangeRequest) -> ChangeRequest:
        self._changes.append(change)
        self.wake()
        return change

    def withdraw(self, change: ChangeRequest) -> None:
        """Forget a change request that nobody waits for any more."""
        if change in self._changes:
            self._changes.remove(change)

    @property
    def open_changes(self) -> tuple[ChangeRequest, ...]:
        """Those that are not withdrawn, oldest first."""
        return tuple(self._changes)

    def wake(self, trigger: Trigger = Trigger.POLL) -> None:
        """Have the watcher make a pass now, and say why where it is for more than the usual."""
        if trigger is not Trigger.POLL:
            self._woken_by = trigger
        self._wakeup.set()

    def take_trigger(self) -> Trigger:
        """Return by what the pass that begins was called for. A later call is the next one's."""
        trigger, self._woken_by = self._woken_by, Trigger.POLL
        return trigger

    async def woken(self) -> None:
        """Return once somebody has called `wake` since the last return."""
        await self._wakeup.wait()
        self._wakeup = anyio.Event()
