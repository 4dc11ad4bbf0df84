"""Calls to a child that are answered one after the other, and each one's time."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from service.processes.protocol import CountedReply

STOOD_STILL_S = 1.0
"""A timer that is later than this belongs to a process that was stopped, and went on."""
_CATCH_UP_S = 5.0


class SentCall(msgspec.Struct, frozen=True, eq=False):
    """A call that was sent, and has its time from when all those before it were answered."""

    id: int
    op: str
    timeout_s: float
    answer: "asyncio.Future[CountedReply]"


class InFlightCalls:
    """The calls in their order, at most `most`; `on_late` gets the first one when its time is over.

    What follows the first lies in the child's pipe: its time begins with the answer to that.
    """

    def __init__(
        self,
        most: int,
        on_late: Callable[[SentCall], None],
        stood_still_s: float = STOOD_STILL_S,
    ) -> None:
        self.calls: deque[SentCall] = deque()
        self._most = most
        self._on_late = on_late
        self._stood_still_s = stood_still_s
        self._loop = asyncio.get_running_loop()
        self._expiry: asyncio.TimerHandle | None = None
        """The end of the first call's time."""

    @property
    def is_full(self) -> bool:
        """Whether it takes no more calls for now."""
        return len(self.calls) >= self._most

    def add(self, call: SentCall) -> None:
        """Let a call wait for its answer, behind those that are there."""
        self.calls.append(call)
        if self.calls[0] is call:
            self._begin()

    def answer(self, reply: CountedReply) -> bool:
        """Give the first call its answer, if that is whose it is."""
        if not self.calls or self.calls[0].id != reply.id:
            return False
        answer = self.calls.popleft().answer
        self._stop_clock()
        if self.calls:
            self._begin()
        if not answer.done():
            answer.set_result(reply)
        return True

    def fail(self, error: Callable[[], Exception]) -> None:
        """Tell every call that there will be no answer."""
        self._stop_clock()
        for call in self.calls:
            if not call.answer.done():
                call.answer.set_exception(error())

    def _begin(self) -> None:
        """Let the first call's time begin: nothing is before it any more."""
        first = self.calls[0]
        self._expiry = self._loop.call_later(first.timeout_s, self._end_time, first)

    def _end_time(self, call: SentCall) -> None:
        """Tell that a call is late, unless this process stood still: its answer may be there."""
        expiry = self._expiry
        if expiry is not None and self._loop.time() - expiry.when() > self._stood_still_s:
            again_s = min(call.timeout_s, _CATCH_UP_S)
            self._expiry = self._loop.call_later(again_s, self._end_time, call)
            return
        self._on_late(call)

    def _stop_clock(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
