"""Wait for states of other processes and threads, which set no event."""

from collections.abc import Callable

import anyio
import psutil


async def until(condition: Callable[[], bool], limit_s: float) -> None:
    """Wait for a state, so many seconds at most."""
    with anyio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
