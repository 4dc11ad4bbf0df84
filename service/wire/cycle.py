"""One request on a connection, and the answer to it."""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Cycle(RequestResponseCycle):
    """uvicorn's, which knows what its body holds of MAX_BODIES_BYTES."""

    held_bytes = 0
    """The bytes of its body that are counted: 0 where it came in one read, as almost all do."""
    task: asyncio.Task[None] | None = None
    """The task that answers it; None while an earlier request of the connection is answered."""

    def give_up(self) -> None:
        """Let the application know that nobody waits for its answer any more."""
        self.disconnected = True
        self.waiting_for_100_continue = False
        self.body = bytearray()
        self.message_event.set()
