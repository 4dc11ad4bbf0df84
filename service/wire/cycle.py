"""One request on a connection, and the answer to it."""

import asyncio
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

_KEPT_HEADS = 64


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

    def take_body(self) -> bytes | None:
        """Return the whole body where it is there, None where it is to be received."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        self.flow.resume_reading()
        return body

    def try_answer(
        self,
        status: int,
        headers: tuple[tuple[bytes, bytes], ...],
        named: tuple[bytes, bytes],
        body: bytes,
    ) -> bool:
        """Answer whole; return False, having done nothing, where it is for `send` to do.

        It does as two calls of `send` do, for a third of the time: `headers` are looked at and
        written once for all answers that have the same ones, and head and body are one write.
        `named` is a header of this answer alone, which is known to be one.
        """
        if (
            self.response_started
            or self.disconnected
            or self.flow.write_paused
            or not self.keep_alive
            or self.access_log
        ):
            return False
        head = _written_head(status, *self.default_headers, *headers)
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write_whole(  # type: ignore[attr-defined] # a CoalescingTransport
            b"%bcontent-length: %d\r\n%b: %b\r\n\r\n%b" % (head, len(body), *named, body)
        )
        self.message_event.set()
        self.on_response()
        return True


@lru_cache(_KEPT_HEADS)
def _written_head(status: int, *headers: tuple[bytes, bytes]) -> bytes:
    """Return a status line and headers as they are sent. Raise ValueError for what is no header."""
    for name, value in headers:
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise ValueError(f"this is no header: {name!r}: {value!r}")
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers)
