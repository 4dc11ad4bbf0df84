"""Look again and again at what may have changed beside the service, such as a file."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import structlog

LOOK_S = 1.0
"""Seconds between two looks."""

_log = structlog.get_logger("followed")


@asynccontextmanager
async def followed(what: str, look: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Look each second meanwhile. What a look raises is logged, and the next one comes."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, what, look)
        yield
        tasks.cancel_scope.cancel()


async def _follow(what: str, look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await anyio.sleep(LOOK_S)
        try:
            await look()
        except Exception:  # noqa: BLE001 - a watcher can't die
            # Whatever it is: what is in force stays, and the service with it.
            _log.exception("what is followed can't be looked at", what=what)
