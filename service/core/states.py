"""The lifecycle of a version. Everything that affects which state may follow which lives here."""

from service.core.text_enum import TextEnum


class State(TextEnum):
    """Where a version stands.

    NEW > FETCHING > (BUILDING >) LOADING > PROVING > READY > DRAINING > UNLOADED; any but the last
    > FAILED. A version that runs in the service's own environment has none to be built.
    """

    NEW = "new"
    FETCHING = "fetching"
    BUILDING = "building"
    LOADING = "loading"
    PROVING = "proving"
    READY = "ready"
    DRAINING = "draining"
    UNLOADED = "unloaded"
    FAILED = "failed"


_NEXT: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.FETCHING, State.FAILED}),
    State.FETCHING: frozenset({State.BUILDING, State.LOADING, State.FAILED}),
    State.BUILDING: frozenset({State.LOADING, State.FAILED}),
    State.LOADING: frozenset({State.PROVING, State.FAILED}),
    State.PROVING: frozenset({State.READY, State.FAILED}),
    State.READY: frozenset({State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.UNLOADED, State.FAILED}),
    # Both end a lifecycle: a version that is wanted again begins another.
    State.UNLOADED: frozenset(),
    State.FAILED: frozenset(),
}


class IllegalTransitionError(RuntimeError):
    """A step that the table does not have: a defect of ours, never of a model."""


def advance(current: State, wanted: State) -> State:
    """Return `wanted` where the table allows it after `current`, else raise."""
    if wanted not in _NEXT[current]:
        raise IllegalTransitionError(f"no version goes from {current} to {wanted}")
    return wanted
