"""The requests that have no answer yet, and the end of each one's time."""

import asyncio

from service.core.errors import (
    DeadlineExceededError,
    QueueTimeoutError,
    RequestTimeoutError,
    ServiceError,
)
from service.serving.batching.batch_runs import SOFT_TIMEOUT_SHARE
from service.serving.batching.request_queue import QueuedRequest


class OpenRequests:
    """Fails each request that was added `limit_s` ago, and is still here.

    There is one timer for all: the limit is the same for each, and most are answered long before.
    A request whose caller gives it less time has a timer of its own beside it.
    """

    def __init__(self, limit_s: float) -> None:
        self.rows = 0
        """The rows of all of them together."""
        self._limit_s = limit_s
        self._items: dict[QueuedRequest, None] = {}
        """In the order in which they came."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: QueuedRequest, deadline_s: float | None = None) -> None:
        """Count a request that came just now, and that its caller waits for until then."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limit_s, self._expire)
        self._items[item] = None
        self.rows += item.rows
        if deadline_s is not None and deadline_s < item.since + self._limit_s:
            loop = asyncio.get_running_loop()
            item.expiry = loop.call_at(deadline_s, item.fail, DeadlineExceededError())

    def discard(self, item: QueuedRequest) -> None:
        """Count one that has its answer, or whose caller has gone."""
        del self._items[item]
        self.rows -= item.rows
        if item.expiry is not None:
            item.expiry.cancel()

    def close(self, error: ServiceError) -> None:
        """Fail all of them."""
        if self._timer is not None:
            self._timer.cancel()
        for item in self._items:
            item.fail(error)

    def _expire(self) -> None:
        """Fail those whose time is over, and come again when that of the next one is."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for item in self._items:
            if item.since + self._limit_s > loop.time():
                self._timer = loop.call_at(item.since + self._limit_s, self._expire)
                return
            item.fail(self._lateness(item, loop.time()))

    def _lateness(self, item: QueuedRequest, now_s: float) -> ServiceError:
        """Say of a request that is late whose fault that is: the model's, or the queue's."""
        late = f"no answer within {self._limit_s:g} s (REQUEST_TIMEOUT_S)"
        if item.began_s is None or now_s - item.began_s < self._limit_s * SOFT_TIMEOUT_SHARE:
            return QueueTimeoutError(f"{late}: no worker was free soon enough")
        return RequestTimeoutError(late)
