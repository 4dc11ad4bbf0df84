"""The requests that wait for a worker, and which of them may go together."""

import asyncio
from collections import deque
from typing import Protocol

import msgspec

from service.contracts.contract import Call, Predictions
from service.core.errors import CallerGoneError, ServiceError
from service.telemetry.tracing.request_trace import RequestTrace
from service.workers.messages import RawReply, RawRequest


class Share(msgspec.Struct, frozen=True):
    """A request's share of a batch: rows [start, stop) of its predictions."""

    predictions: Predictions
    start: int
    stop: int
    is_wide: bool
    """Whether these rows have too many values to be encoded on the event loop."""
    encodable: Predictions
    """The same predictions as codecs take them most cheaply: lists for the buffers of many."""


Answer = Share | RawReply


class Caller(Protocol):
    """The client that sent a request, as the web server knows it."""

    @property
    def disconnected(self) -> bool:
        """Whether it has closed its connection, and will read no answer."""
        ...


class QueuedRequest:
    """A request that waits for its answer: a validated call, or a body for a worker to decode."""

    __slots__ = (
        "again",
        "answer",
        "began_s",
        "bytes",
        "caller",
        "cost_s",
        "expiry",
        "is_body",
        "key",
        "losses",
        "payload",
        "queued",
        "rows",
        "since",
        "trace",
        "waits_since_s",
    )

    def __init__(
        self,
        payload: Call | RawRequest,
        answer: "asyncio.Future[Answer]",
        since: float,
        body_bytes: int = 0,
        caller: Caller | None = None,
        trace: RequestTrace | None = None,
    ) -> None:
        self.payload = payload
        self.answer = answer
        self.since = since
        """The loop's time at which it came."""
        self.bytes = body_bytes
        """The size of the body that it came in."""
        self.caller = caller
        self.queued = False
        """Whether it waits for a worker."""
        self.waits_since_s = since
        """The loop's time since when it does: later than it came where it is run again."""
        self.cost_s = 0.0
        """What a body will take in its worker, by what was known when it came."""
        self.began_s: float | None = None
        """The loop's time at which a worker began to work on it; None while none does."""
        self.expiry: asyncio.TimerHandle | None = None
        """What fails it at its caller's own deadline; None where there is none."""
        self.again = False
        """Whether a run of it has failed: it is run alone then."""
        self.trace = trace
        """Its trace, None where it has none."""
        self.losses = 0
        """How many workers were lost while they had it."""
        if isinstance(payload, RawRequest):
            self.is_body, self.rows, self.key = True, 0, b""
        else:
            self.is_body, self.rows, self.key = False, payload.rows, _merge_key(payload)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for its answer any more."""
        caller = self.caller
        if caller is not None and caller.disconnected:
            self.fail(CallerGoneError("the caller has gone"))
        return self.answer.done()

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
        """The rows of all calls that wait."""
        self.body_s = 0.0
        """What all bodies that wait will take."""
        self.bytes = 0
        """The sizes of the bodies that all requests came in, together."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.bodies) + len(self.again)

    def add(self, item: QueuedRequest) -> None:
        """Let it wait behind those of its kind."""
        if item.is_body or item.again:
            self._line_of(item).append(item)
            self._count(item)
        else:
            # As a rule.
            self.calls.append(item)
            item.queued = True
            self.bytes += item.bytes
            self.call_rows += item.rows

    def discard(self, item: QueuedRequest) -> None:
        """Let it wait no longer: its caller has gone, or its time is over."""
        if item.queued:
            self._line_of(item).remove(item)
            self._uncount(item)

    def discard_gone(self) -> None:
        """Let requests wait no longer whose callers have gone."""
        for line in (self.calls, self.bodies, self.again):
            for item in [item for item in line if item.is_over]:
                self.discard(item)

    def has_live(self) -> bool:
        """Tell whether any request waits whose caller has not gone."""
        lines = (self.calls, self.bodies, self.again)
        return any(not item.is_over for line in lines for item in line)

    def take(
        self, *, max_rows: float, enough_rows: float, merging: bool, bodies: bool
    ) -> list[QueuedRequest]:
        """Take what the next batch holds: one request to run again, or those that fit together.

        To those that have `enough_rows` none is added. `merging` is whether calls may be merged,
        `bodies` whether a body may be taken now. Nothing where the callers of all have gone.
        """
        if self.first(self.again) is not None:
            return [self.pop(self.again)]
        call, body = self.first(self.calls), self.first(self.bodies) if bodies else None
        if body is not None and (call is None or body.since < call.since):
            return [self.pop(self.bodies)]
        return self.take_calls(max_rows, enough_rows) if merging else self.take_calls(0, 0)

    def take_calls(self, max_rows: float, enough_rows: float) -> list[QueuedRequest]:
        """Take the first call, and those behind it that may be merged with it."""
        items: list[QueuedRequest] = []
        left: list[QueuedRequest] = []
        rows = 0
        while self.calls:
            item = self.calls.popleft()
            item.queued = False
            self.bytes -= item.bytes
            self.call_rows -= item.rows
            if item.is_over:
                continue
            if items and (item.key != items[0].key or rows + item.rows > max_rows):
                left.append(item)
                continue
            items.append(item)
            rows += item.rows
            if rows >= max_rows or rows >= enough_rows:
                break
        self.calls.extendleft(reversed(left))
        for item in left:
            self._count(item)
        return items

    def first(self, line: deque[QueuedRequest]) -> QueuedRequest | None:
        """Return the first of a line whose caller has not gone; those before it are dropped."""
        while line and line[0].is_over:
            self.pop(line)
        return line[0] if line else None

    def pop(self, line: deque[QueuedRequest]) -> QueuedRequest:
        """Take the first of a line."""
        item = line.popleft()
        self._uncount(item)
        return item

    def _line_of(self, item: QueuedRequest) -> deque[QueuedRequest]:
        return self.again if item.again else self.bodies if item.is_body else self.calls

    def _count(self, item: QueuedRequest) -> None:
        item.queued = True
        self.bytes += item.bytes
        if item.is_body:
            self.body_s += item.cost_s
        elif not item.again:
            self.call_rows += item.rows

    def _uncount(self, item: QueuedRequest) -> None:
        item.queued = False
        self.bytes -= item.bytes
        if item.is_body:
            # Sums of floats drift; an empty line has nothing.
            self.body_s = max(0.0, self.body_s - item.cost_s) if self.bodies else 0.0
        elif not item.again:
            self.call_rows -= item.rows


def _merge_key(call: Call) -> bytes:
    """Return what must be equal for two calls to be merged."""
    if call.params is None:
        return call.filled
    return msgspec.msgpack.encode((call.params, call.filled), order="deterministic")
