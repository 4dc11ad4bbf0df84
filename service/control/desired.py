"""What is asked of the watcher. Handlers write here and wait; the watcher reads, acts and reports.

Spec and status, as Kubernetes has it: each wish has a generation, and whoever wished waits until
the watcher has observed that generation and what it found is settled.
"""

import asyncio

import anyio

from service.core.errors import ServiceError
from service.core.events import Trigger
from service.core.versions import ModelVersion


class Wish:
    """Somebody's wish for a look at the registry, now, and for what it finds to serve."""

    trigger = Trigger.RELOAD

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.observed = False
        """Whether a look that began after the wish has told what is promoted."""
        self.target: ModelVersion | None = None
        """What that look found."""
        self.loaded = False
        """Whether the target was not yet serving when the look found it."""
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def succeed(self) -> None:
        """Say that the target serves."""
        if not self._settled.done():
            self._settled.set_result(None)

    def fail(self, error: ServiceError) -> None:
        """Say why the target does not serve, or could not be found."""
        if not self._settled.done():
            self._settled.set_exception(error)
            self._settled.exception()  # read, or asyncio logs it where the waiter has gone

    async def settled(self) -> ModelVersion:
        """Wait until the target serves and return it; raise what was said to `fail`."""
        # Shielded: the watcher may settle what its waiter has given up on.
        await asyncio.shield(self._settled)
        assert self.target is not None  # noqa: S101 - only an observed wish succeeds
        return self.target


class Pin(Wish):
    """A wish that a version serves whatever the registry says."""

    trigger = Trigger.PIN

    def __init__(self, generation: int, number: str) -> None:
        super().__init__(generation)
        self.number = number


class Unpin(Wish):
    """A wish that the registry is followed again."""

    trigger = Trigger.PIN


class DesiredState:
    """The wishes that are open, and the bell that wakes the watcher for them."""

    def __init__(self) -> None:
        self.generation = 0
        self._wishes: list[Wish] = []
        self._bell = anyio.Event()
        self._rung_by = Trigger.POLL

    def reload(self) -> Wish:
        """Wish for a look at the registry; return what to wait on."""
        return self._add(Wish(self._next()))

    def pin(self, number: str) -> Wish:
        """Wish that this version serves, whatever is promoted; return what to wait on."""
        return self._add(Pin(self._next(), number))

    def unpin(self) -> Wish:
        """Wish that the registry is followed again; return what to wait on."""
        return self._add(Unpin(self._next()))

    def _next(self) -> int:
        self.generation += 1
        return self.generation

    def _add(self, wish: Wish) -> Wish:
        self._wishes.append(wish)
        self.wake()
        return wish

    def withdraw(self, wish: Wish) -> None:
        """Forget a wish that nobody waits for any more."""
        if wish in self._wishes:
            self._wishes.remove(wish)

    @property
    def open_wishes(self) -> tuple[Wish, ...]:
        """The wishes that are not withdrawn, oldest first."""
        return tuple(self._wishes)

    def wake(self, trigger: Trigger = Trigger.POLL) -> None:
        """Have the watcher make a pass now, and say why where it is for more than the usual."""
        if trigger is not Trigger.POLL:
            self._rung_by = trigger
        self._bell.set()

    def take_trigger(self) -> Trigger:
        """Return by what the pass that begins was called for; what is rung later is the next's."""
        trigger, self._rung_by = self._rung_by, Trigger.POLL
        return trigger

    async def woken(self) -> None:
        """Return once somebody has called `wake` since the last return."""
        await self._bell.wait()
        self._bell = anyio.Event()
