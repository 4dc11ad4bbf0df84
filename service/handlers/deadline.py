"""Until when a caller waits for its answer, by the event loop's time; None for no such limit."""

import asyncio


def deadline_in(timeout_s: float | None) -> float | None:
    """Return the time in so many seconds."""
    return None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
