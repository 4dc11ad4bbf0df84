import pytest

from service.control.lifecycle import KEPT_LIFECYCLES, Lifecycle, Lifecycles
from service.core.states import IllegalTransitionError, State
from tests.support.fake_source import a_version
from tests.support.observers import Recording

UP = (State.FETCHING, State.LOADING, State.PROVING, State.READY)


def live(lifecycle: Lifecycle, *states: State) -> None:
    """Go from state to state."""
    for state in states:
        lifecycle.transition(state, f"because {state}")


def test_a_lifecycle_goes_only_as_the_table_allows() -> None:
    """A step that it does not have changes nothing, and is told nobody."""
    observer = Recording()
    lifecycle = Lifecycles(observer).begin(a_version(1))
    with pytest.raises(IllegalTransitionError):
        lifecycle.transition(State.READY)
    assert lifecycle.status.state is State.NEW
    live(lifecycle, *UP)
    assert (lifecycle.status.state, lifecycle.status.reason) == (State.READY, "because ready")
    assert observer.events == [
        ("state_entered", a_version(1), state, f"because {state}") for state in UP
    ]


def test_each_version_is_told_once_by_its_newest_lifecycle() -> None:
    """A version that drains may be wanted again meanwhile."""
    lifecycles = Lifecycles()
    live(lifecycles.begin(a_version(1)), *UP, State.DRAINING)
    live(lifecycles.begin(a_version(2)), *UP)
    live(lifecycles.begin(a_version(1)), State.FETCHING)
    assert [(status.version, status.state) for status in lifecycles.statuses()] == [
        (a_version(1), State.FETCHING),
        (a_version(2), State.READY),
    ]


def test_lifecycles_that_are_over_are_forgotten_oldest_first() -> None:
    """One that is not over never is."""
    lifecycles = Lifecycles()
    live(lifecycles.begin(a_version(0)), *UP)
    for number in range(1, KEPT_LIFECYCLES + 10):
        live(lifecycles.begin(a_version(number)), State.FAILED)
    numbers = [int(status.version.version) for status in lifecycles.statuses()]
    assert len(numbers) <= KEPT_LIFECYCLES + 1
    assert numbers[0] == KEPT_LIFECYCLES + 9
    assert numbers[-1] == 0
    assert 1 not in numbers
