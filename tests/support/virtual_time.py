"""An event loop whose clock jumps to the next timer: hours pass in no time, alike in each run.

Nothing but the loop may be waited for: no threads, no sockets. A loop that would wait for ever says
so immediately.
"""

import asyncio
import selectors
from typing import Any


class DeadlockError(AssertionError):
    """Every task waits, and no timer will ever wake one."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise DeadlockError("everything waits, and nothing will ever happen")
        self.now += timeout or 0.0
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that starts at second 0 and never sleeps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self._jumping.now
