"""Turns of the event loop, shared out between the models that are asked in it."""

import asyncio
from collections import deque
from collections.abc import Hashable

TOGETHER = 4
"""The larger this is, the longer requests for one model wait for those for another."""
_MIXED_S = 0.05
"""Several models are asked together if two of them were within this time."""


class Turns:
    """Lets a few requests of each model begin in a turn of the event loop, where several are asked.

    The event loop reads all that has come, and begins it in the order of its coming: of two models
    of which one is asked by far more callers, the other one's requests would wait for all of those.
    Nothing waits while there is nothing else to do: what has no turn now begins in the next one,
    behind what has come meanwhile for others.
    """

    def __init__(self) -> None:
        self._last: Hashable = None
        """The model that was asked last."""
        self._mixed_until_s = 0.0
        """Until when several models count as asked together; 0 for none are."""
        self._begun: dict[Hashable, int] = {}
        """How many requests of each have begun in this turn."""
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._is_due = False

    @property
    def are_shared(self) -> bool:
        """Whether several models are asked together, as far as `has_turn` was told of them."""
        return bool(self._mixed_until_s)

    def has_turn(self, model: Hashable) -> bool:
        """Tell whether a request may begin now; where not, `turn` waits until it may."""
        if model != self._last:
            self._last = model
            self._mixed_until_s = asyncio.get_running_loop().time() + _MIXED_S
        if not self._mixed_until_s:
            return True
        loop = asyncio.get_running_loop()
        if not self._is_due:
            if loop.time() > self._mixed_until_s:
                self._mixed_until_s = 0.0
                return True
            self._is_due = True
            loop.call_soon(self._next, loop)
        begun = self._begun.get(model, 0)
        if begun >= TOGETHER or model in self._waiting:
            return False
        self._begun[model] = begun + 1
        return True

    async def turn(self, model: Hashable) -> None:
        """Wait for a turn, behind those of the same model that wait already."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, deque()).append(waiter)
        await waiter

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next requests of each begin; what is read meanwhile comes before them."""
        self._begun.clear()
        for model, waiters in list(self._waiting.items()):
            begun = 0
            while waiters and begun < TOGETHER:
                waiter = waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    begun += 1
            self._begun[model] = begun
            if not waiters:
                del self._waiting[model]
        self._is_due = bool(self._waiting)
        if self._is_due:
            loop.call_soon(self._next, loop)
