"""One request on a connection, and the answer to it."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Cycle(RequestResponseCycle):
    """uvicorn's, which knows what its body holds of MAX_BODIES_BYTES until it is done with."""

    held_bytes = 0
    """What of its body is counted: nothing for one that came in one piece, as almost all do."""
    release: Callable[["Cycle"], None]
    """Called once nothing of the body is held any more."""

    async def run_asgi(self, app: Any) -> None:
        """Run the application. A caller who is gone before it begins is not answered at all."""
        try:
            if not self.disconnected:
                await super().run_asgi(app)
        finally:
            # Before the garbage collector comes by, which it seldom does: see `app`.
            self.on_response = _nothing
            if self.held_bytes:
                self.release(self)

    def give_up(self) -> None:
        """Let the application know that nobody waits for its answer any more."""
        self.disconnected = True
        self.body = bytearray()
        self.message_event.set()


def _nothing() -> None:
    """Do nothing."""
