"""Which requests may wait for an answer, and how much goes into one run: by what runs cost.

A request is let in where its answer will come in time, by what the last runs took and by what is
ahead of it. Any other one is refused while that is still cheap. Where nothing waits, every request
is let in: so what is known can't become too old to be right.

What is estimated is corrected by how fast the queue really moves, which the server's own work,
other processes on its CPUs and lost workers slow down.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from service.core.errors import OverloadedError
from service.core.overload import Overload
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.request_queue import QueuedRequest, RequestQueue

WAIT_SHARE = 0.85
"""The larger this share of a request's timeout, the longer its answer may be expected to take.

Below 1, since what is known is never exact.
"""
STANDING_SHARE = 0.25
"""The same share once requests were refused for long.

A long queue then only makes each answer late.
"""
_STANDING_AFTER = 1.0
"""Requests were refused for long once they were for this many timeouts."""
_STANDING_CYCLE = 8.0
"""Every so many timeouts a longer queue is tried again, with which perhaps none is refused."""
_GAP_SHARE = 1 / 2
"""Overload is over once no request was refused for this share of a timeout."""
_SHORT_SHARE = 1 / 100
"""Runs that take less than this share of a request's timeout are not estimated one by one."""
RUN_SHARE = 1 / 10
"""A run of several requests takes at most this share of a request's timeout."""
_UNSEEN_BATCHES = 3
"""So many batches for each worker are allowed for beside the queue.

What it has, what follows that, and the batch that the request is to be in.
"""
_FIRST_ROWS = 16
"""A batch has at most so many rows while nothing is known of what they take."""
_UNKNOWN_BATCHES = 16
"""So many full batches may wait while nothing is known of what they take."""
_FIXED_RUN = 1.5
"""A run may take this many times its fixed cost in any case.

Where most of a run's time is the same for any number of rows, only merging makes up for that.
"""
_TRIED_SHARE = 0.8
"""Where one size alone is known, twice the rows are tried if they take at most this share of a
timeout even with no fixed cost.
"""
_TRUSTED_S = 1.0
"""What the last run took counts for so long against a caller's own deadline.

After that a request with any deadline is let in, and its run tells anew: a model may be faster now.
"""
_LOOK_EVERY_S = 0.02
"""What is known of short runs is looked at this often; of longer ones, after each."""
_PURGE_EVERY_S = 0.05
"""A full queue is searched this often for requests whose callers have gone."""
_WEIGHT = 1 / 8
"""The larger this is, the sooner a change of the queue's speed is noticed."""
_PAUSE = 8.0
"""A gap of more than this many usual ones between two answers was a pause, and tells no speed."""


class QueueLimits(msgspec.Struct, frozen=True):
    """A request's time limit, a batch's most rows, and what may wait.

    With 0 rows, as many may wait as can be answered in time.
    """

    request_timeout_s: float
    batch_rows: int
    queue_rows: int
    queue_bytes: int


class Workers(Protocol):
    """What is asked of the workers together; `workers.members.Members` is the real one."""

    count: int
    """How many there are to be."""
    bodies: int
    """How many bodies are being answered."""


class Admission:
    """Lets requests into the queue of one loaded version, or says why not.

    `running_s` tells how much longer the runs of all workers together will take at a time, with
    those of bodies or without.
    """

    def __init__(
        self,
        limits: QueueLimits,
        queue: RequestQueue,
        cost: BatchCost,
        running_s: Callable[[float, bool], float],
        workers: Workers,
    ) -> None:
        self._limits = limits
        self._queue = queue
        self._cost = cost
        self._running_s = running_s
        self._workers = workers
        self.batch_rows: float = min(_FIRST_ROWS, limits.batch_rows)
        """The most rows of a batch for now."""
        self._batch_s = 0.0
        """What so many take; it may be less than they do while no such batch was seen."""
        self.easy_rows: float = _UNKNOWN_BATCHES * limits.batch_rows
        """With so many rows in the queue at most, none is late, and nothing need be estimated."""
        if limits.queue_rows:
            self.easy_rows = min(self.easy_rows, limits.queue_rows)
        self._looked_s = -math.inf
        self._pace_s = 0.0
        """Between two answers while others wait, on average."""
        self._worked_s = 0.0
        """What the runs of these took in their workers."""
        self._seen_s = -math.inf
        """When the last run ended."""
        self._last_done_s: float | None = None
        """When the last run ended, if others waited."""
        self._purged_s = -math.inf
        self._refused_since_s = -math.inf
        self._refused_s = -math.inf

    def is_easy(self, rows: int, body_bytes: int) -> bool:
        """Tell whether a request may wait without a closer look: as a rule it may."""
        queue = self._queue
        return (
            queue.call_rows + rows <= self.easy_rows
            and queue.bytes + body_bytes <= self._limits.queue_bytes
            and not (queue.bodies or self._workers.bodies)
        )

    def refusal(
        self, rows: int, body_bytes: int, now_s: float, *, row_wise: bool, is_body: bool
    ) -> OverloadedError | None:
        """Say why a request may not wait behind those that do, None where it may.

        `rows` is 0 where they are not known.
        """
        asked = (rows, body_bytes, now_s)
        objection = self._objection(*asked, row_wise=row_wise, is_body=is_body)
        if objection and now_s - self._purged_s > _PURGE_EVERY_S:
            self._purged_s = now_s
            self._queue.discard_gone()
            objection = self._objection(*asked, row_wise=row_wise, is_body=is_body)
        return self._refuse(now_s, *objection) if objection else None

    def refusal_within(
        self,
        left_s: float,
        rows: int,
        body_bytes: int,
        now_s: float,
        *,
        row_wise: bool,
        is_body: bool,
    ) -> OverloadedError | None:
        """Say why there would be no answer within a caller's own time, None where there may be.

        That is no overload, and changes nothing for other requests.
        """
        if now_s - self._seen_s > _TRUSTED_S:
            return None
        takes_s = self.expected_s(rows, now_s, row_wise=row_wise, is_body=is_body)
        if is_body:
            takes_s += self._body_s(body_bytes)
        if takes_s <= left_s:
            return None
        waits_s = max(0.0, left_s)
        why = f"the answer would take about {takes_s:.3g} s, and its caller waits {waits_s:.3g} s"
        retry_after_s = round(max(1.0, takes_s), 3)
        return OverloadedError(f"can't be answered in time: {why}", retry_after_s, "deadline")

    def _objection(
        self, rows: int, body_bytes: int, now_s: float, *, row_wise: bool, is_body: bool
    ) -> tuple[float, Overload, str] | None:
        """Return for how many seconds what speaks against a request, None for nothing.

        What it is comes in a word and in words for people.
        """
        queue, limits = self._queue, self._limits
        if queue.call_rows + rows > self._most_rows:
            return 1.0, "queue-rows", f"{queue.call_rows} rows wait (MAX_QUEUE_ROWS)"
        if queue.bytes + body_bytes > limits.queue_bytes:
            return 1.0, "queue-bytes", f"{queue.bytes} bytes wait (MAX_QUEUE_BYTES)"
        takes_s = self.expected_s(rows, now_s, row_wise=row_wise, is_body=is_body)
        if is_body:
            takes_s += self._body_s(body_bytes)
        over_s = takes_s - self._share(now_s) * limits.request_timeout_s
        if over_s <= 0:
            return None
        limit = f"{limits.request_timeout_s:g} s (REQUEST_TIMEOUT_S)"
        return over_s, "time", f"the answer would take about {takes_s:.3g} s of {limit}"

    def expected_s(self, rows: int, now_s: float, *, row_wise: bool, is_body: bool) -> float:
        """Return how long a request of so many rows would take from now on.

        Bodies hold up no calls that may be answered between their chunks, or have a worker to
        themselves.
        """
        queue, curve = self._queue, self._cost.rows
        behind_bodies = is_body or not row_wise
        work_s = self._running_s(now_s, behind_bodies)
        if behind_bodies:
            work_s += queue.body_s
        if queue.again:
            work_s += len(queue.again) * self._cost.typical_s
        calls = len(queue.calls)
        if row_wise:
            batch_rows, batch_s = self._batch_of(queue.call_rows / calls if calls else 0)
            batches, rest = divmod(queue.call_rows, batch_rows)
            work_s += batches * batch_s
            own_s = curve.predict_s(rest + rows)
        else:
            if calls:
                work_s += calls * curve.predict_s(queue.call_rows / calls)
            own_s = curve.predict_s(rows)
        return work_s / self._workers.count * self.slowdown + own_s

    def _batch_of(self, call_rows: float) -> tuple[float, float]:
        """Return the rows of a batch of such calls, and what it takes.

        Calls are not divided: where two don't fit into a batch, it has the rows of one.
        """
        if call_rows <= 1:
            return self.batch_rows, self._batch_s
        batch_rows = call_rows * max(1, self.batch_rows // call_rows)
        # One that is larger than all before is soon seen.
        takes_s = self._cost.rows.predict_s(batch_rows)
        return batch_rows, takes_s if batch_rows > self.batch_rows else min(takes_s, self._batch_s)

    def _body_s(self, body_bytes: int) -> float:
        """Return what a body takes at least, of whatever kind it is."""
        curves = self._cost.bytes.values()
        return min((curve.predict_s(body_bytes) for curve in curves if curve), default=0.0)

    @property
    def slowdown(self) -> float:
        """How many times longer the queue takes than the work in it."""
        return (
            max(1.0, self._pace_s * self._workers.count / self._worked_s) if self._worked_s else 1.0
        )

    def note_done(self, took_s: float, now_s: float, *, row_wise: bool) -> None:
        """Note that a run has ended, which took so long in its worker; the queue is as it is now.

        What was learnt from the run is to be known already.
        """
        self._seen_s = now_s
        if self._last_done_s is not None:
            passed_s = now_s - self._last_done_s
            if self._pace_s:
                passed_s = min(passed_s, _PAUSE * self._pace_s)
            self._pace_s += (passed_s - self._pace_s) * _WEIGHT
            self._worked_s += (took_s - self._worked_s) * _WEIGHT
        self._last_done_s = now_s if self._queue.calls or self._queue.bodies else None
        if took_s >= _LOOK_EVERY_S or now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            self.look(row_wise=row_wise)

    def look(self, *, row_wise: bool) -> None:
        """Choose a batch's most rows by what is known now."""
        curve, limits = self._cost.rows, self._limits
        if not curve:
            return
        largest, limit_s = curve.largest, limits.request_timeout_s
        rows = curve.size_within(max(RUN_SHARE * limit_s, _FIXED_RUN * curve.fixed_s))
        if len(curve) == 1 and 2 * largest.took_s <= _TRIED_SHARE * limit_s:
            rows = max(rows, 2 * largest.size)
        # One row at least, and no infinity: a model may have taken no time that a clock shows.
        self.batch_rows = max(1, int(min(limits.batch_rows, rows)))
        # Beyond what is known the cost is not: the next batch will tell.
        self._batch_s = (
            largest.took_s if self.batch_rows > largest.size else curve.predict_s(self.batch_rows)
        )
        self.easy_rows = 0
        if row_wise and self._batch_s:
            batches = (
                STANDING_SHARE * limit_s * self._workers.count / (self._batch_s * self.slowdown)
            )
            # Some are under way, and the last one is the request's own.
            self.easy_rows = self.batch_rows * max(
                0.0, batches - _UNSEEN_BATCHES * self._workers.count
            )
        if limits.queue_rows:
            self.easy_rows = min(self.easy_rows, limits.queue_rows)

    def long_run_s(self, items: Sequence[QueuedRequest]) -> float:
        """Return what a run of these calls will take; 0 for one that is short in any case."""
        curve = self._cost.rows
        if not curve or (
            curve.largest.took_s < _SHORT_SHARE * self._limits.request_timeout_s
            and items[0].rows <= self.batch_rows
        ):
            return 0.0
        return curve.predict_s(sum(item.rows for item in items))

    def take_rows(self, now_s: float) -> float:
        """Return the most rows that the next batch may take, once those that are late are refused.

        A request at the head that has waited for long is not made late by company.
        """
        if not self._has_late(now_s):
            return self.batch_rows
        self._refuse_late(now_s)
        first = self._queue.first(self._queue.calls)
        if first is None or not self._cost.rows:
            return self.batch_rows
        left_s = first.since + self._limits.request_timeout_s - now_s
        return min(self.batch_rows, self._cost.rows.size_within(left_s))

    def _refuse_late(self, now_s: float) -> None:
        """Refuse those at the head of the queue that can't be answered in time any more.

        But never all that wait: what is known of their cost may be too old.
        """
        queue = self._queue
        for line in (queue.calls, queue.bodies):
            while len(queue) > 1 and line and self._is_too_late(line[0], now_s):
                why = "its turn came too late for an answer in time"
                queue.pop(line).fail(self._refuse(now_s, 1.0, "late", why))

    def _has_late(self, now_s: float) -> bool:
        """Tell whether any has waited for so long that a look at the queue's head pays."""
        queue = self._queue
        over_s = now_s - STANDING_SHARE * self._limits.request_timeout_s
        calls, bodies = queue.calls, queue.bodies
        return bool((calls and calls[0].since < over_s) or (bodies and bodies[0].since < over_s))

    def _is_too_late(self, item: QueuedRequest, now_s: float) -> bool:
        """Tell whether a request can't be answered within its limit, even if it begins now."""
        left_s = item.since + self._limits.request_timeout_s - now_s
        return left_s < (item.cost_s if item.is_body else self._cost.rows.predict_s(item.rows))

    @property
    def _most_rows(self) -> float:
        if self._limits.queue_rows:
            return self._limits.queue_rows
        return math.inf if self._cost.rows else _UNKNOWN_BATCHES * self._limits.batch_rows

    def _share(self, now_s: float) -> float:
        """Return the share of the limit that an answer may take."""
        limit_s = self._limits.request_timeout_s
        if now_s - self._refused_s > _GAP_SHARE * limit_s:
            return WAIT_SHARE
        times = (now_s - self._refused_since_s) / limit_s % _STANDING_CYCLE
        return WAIT_SHARE if times < _STANDING_AFTER else STANDING_SHARE

    def _refuse(
        self, now_s: float, retry_after_s: float, reason: Overload, why: str
    ) -> OverloadedError:
        if now_s - self._refused_s > _GAP_SHARE * self._limits.request_timeout_s:
            self._refused_since_s = now_s
        self._refused_s = now_s
        retry_after_s = round(max(1.0, retry_after_s), 3)
        return OverloadedError(f"too much is asked: {why}", retry_after_s, reason)
