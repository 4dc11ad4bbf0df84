"""Who waits for an answer, as far as the server can tell."""

from litestar.types import Receive

from service.serving.batching.request_queue import Caller


def caller_of(receive: Receive) -> Caller | None:
    """Return what knows whether the caller has gone: uvicorn's request, where it is uvicorn's."""
    cycle = getattr(receive, "__self__", None)
    return cycle if hasattr(cycle, "disconnected") else None
