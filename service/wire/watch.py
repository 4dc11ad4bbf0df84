"""Looks at all connections of a server a few times a second, and ends those that hold it up.

One timer for all of them. A request that comes in one read is never looked at: connections are
listed here only while a head or a body is unfinished, an answer is not taken, or nothing happens.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import structlog

from service.wire.limits import LEAST_BYTES_PER_S, WireLimits
from service.wire.refusals import BODY_TIMEOUT, HEAD_TIMEOUT, Refusal

_TICK_S = 0.5
_TICKS_A_TIMEOUT = 10
"""How many looks a limit is divided into, where that is shorter than the usual tick."""
_LINGER_S = 2.0
"""A refused caller may send for so long: an answer that is followed by an end may get lost."""
_STALLED_S = 1.0
"""A caller that takes nothing of its answer for longer is ended, where memory is short."""
_TOLD_EVERY_S = 10.0
"""Refusals get one line of the log in so much time, however many there are."""

_log = structlog.get_logger("wire")


class Connection(Protocol):
    """A connection, as it is watched; `protocol.BoundedProtocol` is the real one."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer so, if no answer has begun, and close."""
        ...

    def abort(self) -> None:
        """End it, whatever is still to be sent."""
        ...

    def end_idle(self) -> None:
        """Close it: it has nothing under way."""
        ...

    @property
    def is_ours_to_read(self) -> bool:
        """Whether the caller is kept from sending for now."""
        ...

    @property
    def body_bytes(self) -> int:
        """How much of the request's body has come."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How much of answers is still to be sent."""
        ...


class _Progress:
    """How a body, or an answer, has gone on."""

    __slots__ = ("amount", "moved_s", "window_amount", "window_s")

    def __init__(self, now_s: float, amount: int) -> None:
        self.amount = self.window_amount = amount
        self.moved_s = self.window_s = now_s

    def is_late(self, now_s: float, amount: int, limit_s: float) -> bool:
        """Tell whether nothing has moved for so long, or less in it than the lowest rate."""
        if amount != self.amount:
            self.amount, self.moved_s = amount, now_s
        elif now_s - self.moved_s >= limit_s:
            return True
        if now_s - self.window_s < limit_s:
            return False
        moved, least = abs(amount - self.window_amount), limit_s * LEAST_BYTES_PER_S
        self.window_s, self.window_amount = now_s, amount
        return moved < least


class Watch:
    """The connections of one server that may have to be ended, and the bytes that all hold."""

    def __init__(self, limits: WireLimits, all_refused: Counter[str] | None = None) -> None:
        """Count refusals in `all_refused`, too, which is never cleared here."""
        self.limits = limits
        self.now_s = 0.0
        """The event loop's time at the last look: exact enough, and free."""
        self.held_bytes = 0
        """The bytes of unfinished heads, and of bodies that came in several reads."""
        self.unsent_bytes = 0
        """The bytes of answers that were not taken, as of the last look."""
        self.idle: dict[Connection, float] = {}
        """Idle connections, and since when; the oldest is the first, here and in the next two."""
        self.heads: dict[Connection, float] = {}
        self.lingering: dict[Connection, float] = {}
        self.bodies: dict[Connection, _Progress] = {}
        self.writing: dict[Connection, _Progress] = {}
        self.open = 0
        """How many connections there are, those that are being closed too."""
        self.is_ending = False
        """Whether the server ends: it has told the connections that it knew, and takes no other."""
        self._refused: Counter[str] = Counter()
        """Those that the log was not told of."""
        self._all_refused: Counter[str] = Counter() if all_refused is None else all_refused
        self._told_s = -_TOLD_EVERY_S
        self._timer: asyncio.TimerHandle | None = None
        shortest_s = min(limits.head_timeout_s, limits.body_timeout_s, limits.keep_alive_s)
        self._tick_s = min(_TICK_S, shortest_s / _TICKS_A_TIMEOUT)

    def add(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count a new connection, until `forget`."""
        self.open += 1
        self._start(loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None:
            self.now_s = loop.time()
            self._timer = loop.call_later(self._tick_s, self._look, loop)

    def has_room(self, more_bytes: int = 0) -> bool:
        """Tell whether so much more may be held."""
        return self.held_bytes + self.unsent_bytes + more_bytes <= self.limits.max_bodies_bytes

    def note_body(self, connection: Connection) -> None:
        """Watch a body that is not complete."""
        if connection not in self.bodies:
            self.bodies[connection] = _Progress(self.now_s, connection.body_bytes)

    def note_writing(self, connection: Connection) -> None:
        """Watch an answer that its caller does not take as fast as it comes."""
        self.writing[connection] = _Progress(self.now_s, connection.unsent_bytes)
        self.unsent_bytes += connection.unsent_bytes

    def note_refused(self, code: str) -> None:
        """Count a refusal, for the log and the metrics."""
        self._refused[code] += 1
        self._all_refused[code] += 1

    def forget(self, connection: Connection) -> None:
        """Let go of a connection that has ended."""
        self.open -= 1
        for since in (self.idle, self.heads, self.lingering):
            since.pop(connection, None)
        for progress in (self.bodies, self.writing):
            progress.pop(connection, None)

    def make_room(self) -> bool:
        """End the connection that can best be spared, for a new one; False where there is none."""
        if self.idle:
            next(iter(self.idle)).end_idle()
            return True
        if self.lingering:
            next(iter(self.lingering)).abort()
            return True
        oldest = next(iter(self.heads), None)
        if oldest is None or self.now_s - self.heads[oldest] < _STALLED_S:
            return False
        oldest.refuse(HEAD_TIMEOUT)
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now_s = now_s = loop.time()
        limits = self.limits
        try:
            _end_older(self.idle, now_s - limits.keep_alive_s, lambda c: c.end_idle())
            _end_older(self.heads, now_s - limits.head_timeout_s, self._end_late_head)
            _end_older(self.lingering, now_s - _LINGER_S, lambda c: c.abort())
            self._look_at_bodies()
            self._look_at_answers()
            self._tell()
        finally:
            self._timer = None
            if self.open or self._refused:
                self._start(loop)

    def _end_late_head(self, connection: Connection) -> None:
        if connection.is_ours_to_read:
            # What was not asked for is not late.
            self.heads[connection] = self.now_s
        else:
            connection.refuse(HEAD_TIMEOUT)

    def _look_at_bodies(self) -> None:
        for connection, progress in list(self.bodies.items()):
            if connection.is_ours_to_read:
                self.bodies[connection] = _Progress(self.now_s, connection.body_bytes)
            elif progress.is_late(self.now_s, connection.body_bytes, self.limits.body_timeout_s):
                connection.refuse(BODY_TIMEOUT)

    def _look_at_answers(self) -> None:
        self.unsent_bytes = 0
        for connection, progress in list(self.writing.items()):
            unsent = connection.unsent_bytes
            if progress.is_late(self.now_s, unsent, self.limits.body_timeout_s):
                self._end_stalled(connection)
            else:
                self.unsent_bytes += unsent
        if self.has_room():
            return
        for connection, progress in list(self.writing.items()):
            if self.now_s - progress.moved_s >= _STALLED_S and not self.has_room():
                self.unsent_bytes -= progress.amount
                self._end_stalled(connection)

    def _end_stalled(self, connection: Connection) -> None:
        self.note_refused("answer-not-taken")
        connection.abort()

    def _tell(self) -> None:
        if self._refused and self.now_s - self._told_s >= _TOLD_EVERY_S:
            _log.warning("connections refused", **self._refused)
            self._told_s = self.now_s
            self._refused.clear()


def _end_older(
    since: dict[Connection, float], limit_s: float, end: Callable[[Connection], None]
) -> None:
    """End those that are listed since before then; the first is listed for longest."""
    while since:
        oldest = next(iter(since))
        if since[oldest] > limit_s:
            return
        del since[oldest]
        end(oldest)
