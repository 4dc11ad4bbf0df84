"""The requests that wait for a worker, and which of them may go together."""

import asyncio
from collections import deque

import msgspec

from service.contracts.contract import Call, Predictions
from service.core.errors import ServiceError
from service.runtimes.messages import RawReply, RawRequest


class Share(msgspec.Struct, frozen=True):
    """A request's share of a batch: rows [start, stop) of its predictions."""

    predictions: Predictions
    start: int
    stop: int


Answer = Share | RawReply


class QueuedRequest:
    """A request that waits for its answer: a validated call, or a body for a worker to decode."""

    __slots__ = (
        "again",
        "answer",
        "began_s",
        "in_steps",
        "is_body",
        "key",
        "losses",
        "patience",
        "payload",
        "rows",
        "since",
    )

    def __init__(
        self, payload: Call | RawRequest, answer: "asyncio.Future[Answer]", since: float
    ) -> None:
        self.payload = payload
        self.answer = answer
        self.since = since
        """The loop's time at which it came."""
        self.began_s: float | None = None
        """The loop's time at which a worker began to work on it; None while none does."""
        self.again = False
        """Whether the batch that it was in has failed: it is run alone then."""
        self.losses = 0
        """How many workers were lost while they had it."""
        self.patience: asyncio.TimerHandle | None = None
        """Until it has to give way to others, while it is run alone."""
        self.is_body = isinstance(payload, RawRequest)
        self.in_steps = False
        """Whether others are answered between its steps."""
        self.rows = 0 if isinstance(payload, RawRequest) else payload.rows
        self.key = b"" if isinstance(payload, RawRequest) else _merge_key(payload)

    def fail(self, error: ServiceError) -> None:
        """Answer it by an error, unless its caller has gone or it was answered."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def succeed(self, answer: Answer) -> None:
        """Answer it, unless its caller has gone or it was answered."""
        if not self.answer.done():
            self.answer.set_result(answer)


class RequestQueue:
    """Requests in the order in which they came: calls, bodies, and those to be run again."""

    def __init__(self) -> None:
        self.calls: deque[QueuedRequest] = deque()
        self.bodies: deque[QueuedRequest] = deque()
        self.again: deque[QueuedRequest] = deque()
        self.call_rows = 0
        """The rows of all calls that wait, of those too whose callers have gone."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.bodies) + len(self.again)

    def add(self, item: QueuedRequest) -> None:
        """Let it wait behind those of its kind."""
        line = self.again if item.again else self.bodies if item.is_body else self.calls
        line.append(item)
        if line is self.calls:
            self.call_rows += item.rows

    def has_live(self) -> bool:
        """Tell whether anyone waits who has not gone."""
        lines = (self.calls, self.bodies, self.again)
        return any(not item.answer.done() for line in lines for item in line)

    def take(
        self, *, max_rows: int, enough_rows: float, merging: bool, bodies: bool
    ) -> list[QueuedRequest]:
        """Take what the next batch holds: one request to run again, or those that fit together.

        To those that have `enough_rows` none is added. `merging` is whether calls may be merged,
        `bodies` whether a body may be taken now. Nothing where all who waited have gone.
        """
        if _first(self.again) is not None:
            return [self.again.popleft()]
        call, body = self._first_call(), _first(self.bodies) if bodies else None
        if body is not None and (call is None or body.since < call.since):
            return [self.bodies.popleft()]
        return self.take_calls(max_rows, enough_rows) if merging else self.take_calls(0, 0)

    def take_calls(self, max_rows: int, enough_rows: float) -> list[QueuedRequest]:
        """Take the first call, and those behind it that may be merged with it."""
        items: list[QueuedRequest] = []
        left: list[QueuedRequest] = []
        rows = 0
        while self.calls:
            item = self._pop_call()
            if item.answer.done():
                continue
            if items and (item.key != items[0].key or rows + item.rows > max_rows):
                left.append(item)
                continue
            items.append(item)
            rows += item.rows
            if rows >= max_rows or rows >= enough_rows:
                break
        self.calls.extendleft(reversed(left))
        self.call_rows += sum(item.rows for item in left)
        return items

    def _pop_call(self) -> QueuedRequest:
        item = self.calls.popleft()
        self.call_rows -= item.rows
        return item

    def _first_call(self) -> QueuedRequest | None:
        while self.calls and self.calls[0].answer.done():
            self._pop_call()
        return self.calls[0] if self.calls else None


def _first(items: deque[QueuedRequest]) -> QueuedRequest | None:
    """Return the first who has not gone, after dropping those before it who have."""
    while items and items[0].answer.done():
        items.popleft()
    return items[0] if items else None


def _merge_key(call: Call) -> bytes:
    """Return what must be equal for two calls to be merged."""
    if call.params is None:
        return call.filled
    return msgspec.msgpack.encode((call.params, call.filled), order="deterministic")
