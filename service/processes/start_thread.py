"""A thread for a start that may hang: nobody waits for it for ever, not even the exit does."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import anyio

from service.processes.launch import end_fork_server

_GIVING_UP_S = 0.5
"""What a start that is no longer wanted gets to end: usually it takes a few milliseconds more."""
_TRIES = 10


async def run_start(
    start: Callable[[threading.Event], None],
    name: str,
    interrupt: Callable[[], None] = end_fork_server,
) -> None:
    """Run `start` in a thread of its own and wait for it. Raise what it raises.

    Where that is cancelled and takes longer, the event it was given is set, and `interrupt` called
    to have it fail: by the end of the fork server that it waits for.
    """
    loop = asyncio.get_running_loop()
    started: asyncio.Future[None] = loop.create_future()
    given_up = threading.Event()

    def settle(error: Exception | None) -> None:
        if error is None:
            started.set_result(None)
        else:
            started.set_exception(error)

    def run() -> None:
        outcome: Exception | None = None
        try:
            start(given_up)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        await asyncio.shield(started)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            for _ in range(_TRIES):
                await asyncio.wait({started}, timeout=_GIVING_UP_S)
                if started.done():
                    # Nobody else asks for what it raised.
                    started.exception()
                    break
                given_up.set()
                interrupt()
        raise
