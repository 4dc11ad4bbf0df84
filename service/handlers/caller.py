"""Who waits for an answer, as far as the server can tell, and what it can do for a usual one."""

from typing import Protocol

from litestar.types import Receive, Send

from service.serving.batching.request_queue import Caller


class Connected(Protocol):
    """What takes and answers a request whole: see `service.wire.cycle.Cycle`."""

    def take_body(self) -> bytes | None:
        """Return the whole body where it is there, None where it is to be received."""
        ...

    def try_answer(
        self,
        status: int,
        headers: tuple[tuple[bytes, bytes], ...],
        named: tuple[bytes, bytes],
        body: bytes,
    ) -> bool:
        """Answer whole; return False, having done nothing, where it is for `send` to do."""
        ...


def caller_of(receive: Receive) -> Caller | None:
    """Return what knows whether the caller has gone: uvicorn's request, where it is uvicorn's."""
    cycle = getattr(receive, "__self__", None)
    return cycle if hasattr(cycle, "disconnected") else None


def connected(send: Send) -> Connected | None:
    """Return what answers whole where this service's own protocol sends, None otherwise.

    What stands between, and looks at what is sent, is not passed by: it may offer the same.
    """
    cycle = getattr(send, "__self__", None)
    return cycle if hasattr(cycle, "try_answer") else None
