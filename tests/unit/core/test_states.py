import itertools

import pytest

from service.core.states import IllegalTransitionError, State, advance

LIFE = [
    State.NEW,
    State.FETCHING,
    State.BUILDING,
    State.LOADING,
    State.PROVING,
    State.READY,
    State.DRAINING,
    State.UNLOADED,
]
SHARING = (State.FETCHING, State.LOADING)
"""The step of a version that runs in the service's own environment: none is built for it."""
LEGAL = {
    *itertools.pairwise(LIFE),
    SHARING,
    *((state, State.FAILED) for state in LIFE[:-1]),
}


@pytest.mark.parametrize(("current", "wanted"), sorted(LEGAL))
def test_a_life_goes_forward_or_fails(current: State, wanted: State) -> None:
    """Step by step, in the order in which a version is proved."""
    assert advance(current, wanted) is wanted


@pytest.mark.parametrize(
    ("current", "wanted"), sorted(set(itertools.product(State, State)) - LEGAL)
)
def test_no_other_step_is_legal(current: State, wanted: State) -> None:
    """Neither back, nor over a step, nor on the spot, nor out of an end."""
    with pytest.raises(IllegalTransitionError, match=f"from {current} to {wanted}"):
        advance(current, wanted)
