"""One request on a connection, and the answer to it."""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Cycle(RequestResponseCycle):
    """uvicorn's, which knows what its body holds of MAX_BODIES_BYTES."""

    held_bytes = 0
    """What of its body is counted: nothing for one that came in one piece, as almost all do."""
    task: asyncio.Task[None] | None = None
    """What answers it; None while an earlier request of the connection is answered."""

    def give_up(self) -> None:
        """Let the application know that nobody waits for its answer any more."""
        self.disconnected = True
        self.waiting_for_100_continue = False
        self.body = bytearray()
        self.message_event.set()
