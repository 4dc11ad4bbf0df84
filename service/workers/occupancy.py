"""What a worker does at a moment, and what it may take beside it: all that decides so is here.

A worker answers one call after another. A second call may lie in its pipe meanwhile, so that it
need not wait for the server process between two: MOST_CALLS are in flight. Not so behind a call
that is run again after a failure or behind a whole body: if that costs the worker, another request
would share the blame, or wait for long. Between the chunks of a body one call may be answered.

What needs a worker for itself (a gate, a replay, an activation, a heartbeat) has it alone.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import IntEnum

MOST_CALLS = 2
"""So many calls are in flight at a worker at most; a chunked body comes beside one of them."""


class Work(IntEnum):
    """What a worker is given."""

    CALL = 1
    """Requests of the queue, by one call."""
    RERUN = 2
    """One request again, after its batch or worker has failed."""
    BODY = 3
    """A body that the worker decodes, in one go."""
    CHUNKED_BODY = 4
    """A body between whose chunks it answers calls."""
    HOLD = 5
    """Whatever its holder, which is not the queue, asks it."""
    PING = 6
    """A question for a sign of life."""


BODIES = frozenset({Work.BODY, Work.CHUNKED_BODY})


class State(IntEnum):
    """What a worker has in flight."""

    IDLE = 1
    CALL = 2
    TWO_CALLS = 3
    RERUN = 4
    BODY = 5
    CHUNKED_BODY = 6
    CHUNKED_BODY_AND_CALL = 7
    HELD = 8
    PINGED = 9


BEGIN: Mapping[State, Mapping[Work, State]] = {
    State.IDLE: {
        Work.CALL: State.CALL,
        Work.RERUN: State.RERUN,
        Work.BODY: State.BODY,
        Work.CHUNKED_BODY: State.CHUNKED_BODY,
        Work.HOLD: State.HELD,
        Work.PING: State.PINGED,
    },
    State.CALL: {Work.CALL: State.TWO_CALLS},
    State.TWO_CALLS: {},
    State.RERUN: {},
    State.BODY: {},
    State.CHUNKED_BODY: {Work.CALL: State.CHUNKED_BODY_AND_CALL},
    State.CHUNKED_BODY_AND_CALL: {},
    State.HELD: {},
    State.PINGED: {},
}
"""What a worker may take in each state, and the state that it is in then."""

END: Mapping[State, Mapping[Work, State]] = {
    State.IDLE: {},
    State.CALL: {Work.CALL: State.IDLE},
    State.TWO_CALLS: {Work.CALL: State.CALL},
    State.RERUN: {Work.RERUN: State.IDLE},
    State.BODY: {Work.BODY: State.IDLE},
    State.CHUNKED_BODY: {Work.CHUNKED_BODY: State.IDLE},
    State.CHUNKED_BODY_AND_CALL: {
        Work.CALL: State.CHUNKED_BODY,
        # The call was begun between two chunks, and is still to be answered.
        Work.CHUNKED_BODY: State.CALL,
    },
    State.HELD: {Work.HOLD: State.IDLE},
    State.PINGED: {Work.PING: State.IDLE},
}
"""What a worker may have ended in each state, and the state that it is in then."""


class Occupancy:
    """What one worker has in flight, and what waits for it alone.

    A worker begins held, by what has loaded it. `waiting` are those that wait until it is idle;
    each is told whether it has the worker then, or that the worker is gone.
    """

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state = State.HELD
        self.waiting: deque[asyncio.Future[bool]] = deque()

    def may_take(self, work: Work) -> bool:
        """Tell whether the worker may be given this now: nothing new where something waits."""
        return work in BEGIN[self.state] and not self.waiting

    def begin(self, work: Work) -> None:
        """Count it as in flight. Raise RuntimeError where the worker may not have it."""
        after = BEGIN[self.state].get(work)
        if after is None:
            raise RuntimeError(f"a worker in state {self.state.name} was given {work.name}")
        self.state = after

    def end(self, work: Work) -> None:
        """Count it as done, whatever came of it. Raise RuntimeError where the worker has none."""
        after = END[self.state].get(work)
        if after is None:
            raise RuntimeError(f"a worker in state {self.state.name} has ended {work.name}")
        self.state = after
