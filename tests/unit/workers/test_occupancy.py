"""What a worker may have in flight: every state against every work."""

from collections import Counter
from itertools import product

import pytest

from service.workers.occupancy import BEGIN, END, MOST_CALLS, Occupancy, State, Work

IN_FLIGHT: dict[State, Counter[Work]] = {
    State.IDLE: Counter(),
    State.CALL: Counter({Work.CALL: 1}),
    State.TWO_CALLS: Counter({Work.CALL: 2}),
    State.RERUN: Counter({Work.RERUN: 1}),
    State.BODY: Counter({Work.BODY: 1}),
    State.CHUNKED_BODY: Counter({Work.CHUNKED_BODY: 1}),
    State.CHUNKED_BODY_AND_CALL: Counter({Work.CHUNKED_BODY: 1, Work.CALL: 1}),
    State.HELD: Counter({Work.HOLD: 1}),
    State.PINGED: Counter({Work.PING: 1}),
}
"""What is in flight in each state."""
EVERY = tuple(product(State, Work))


def may_be_added(work: Work, in_flight: Counter[Work]) -> bool:
    """Say by counting what a worker may be given beside what it has."""
    if not in_flight:
        return True
    if work is not Work.CALL:
        return False
    if in_flight == Counter({Work.CHUNKED_BODY: 1}):
        return True
    return set(in_flight) == {Work.CALL} and in_flight[Work.CALL] < MOST_CALLS


@pytest.mark.parametrize(("state", "work"), EVERY)
def test_what_may_be_begun_and_what_is_in_flight_then(state: State, work: Work) -> None:
    """Two calls, or one between the chunks of a body; anything else has its worker alone."""
    before = IN_FLIGHT[state]
    after = BEGIN[state].get(work)
    assert (after is not None) == may_be_added(work, before)
    if after is not None:
        assert IN_FLIGHT[after] == before + Counter([work])


@pytest.mark.parametrize(("state", "work"), EVERY)
def test_what_may_be_ended_and_what_is_in_flight_then(state: State, work: Work) -> None:
    """Whatever is in flight, in any order."""
    before = IN_FLIGHT[state]
    after = END[state].get(work)
    assert (after is not None) == (before[work] > 0)
    if after is not None:
        assert IN_FLIGHT[after] == before - Counter([work])


@pytest.mark.parametrize(("state", "work"), EVERY)
def test_an_occupancy_goes_by_the_tables(state: State, work: Work) -> None:
    """And raises where they have nothing: that is a defect of ours."""
    occupancy = Occupancy()
    assert occupancy.state is State.HELD
    occupancy.end(Work.HOLD)
    for begun in IN_FLIGHT[state].elements():
        occupancy.begin(begun)
    assert occupancy.state is state
    assert occupancy.may_take(work) == (work in BEGIN[state])
    if not occupancy.may_take(work):
        with pytest.raises(RuntimeError, match=f"{state.name} was given {work.name}"):
            occupancy.begin(work)
        assert occupancy.state is state
    if work not in END[state]:
        with pytest.raises(RuntimeError, match=f"{state.name} has ended {work.name}"):
            occupancy.end(work)
        assert occupancy.state is state
