import pytest

from service.control.monitor import KEPT_LIFECYCLES, Lifecycle, StateMonitor
from service.core.states import IllegalTransitionError, State
from tests.support.fake_source import a_version

UP = (State.FETCHING, State.LOADING, State.PROVING, State.READY)


def live(lifecycle: Lifecycle, *states: State) -> None:
    """Go from state to state."""
    for state in states:
        lifecycle.transition(state, f"because {state}")


def test_a_lifecycle_goes_only_as_the_table_allows() -> None:
    """A step that it does not have changes nothing."""
    lifecycle = StateMonitor().begin(a_version(1))
    with pytest.raises(IllegalTransitionError):
        lifecycle.transition(State.READY)
    assert lifecycle.status.state is State.NEW
    live(lifecycle, *UP)
    assert (lifecycle.status.state, lifecycle.status.reason) == (State.READY, "because ready")


def test_each_version_is_told_once_by_its_newest_lifecycle() -> None:
    """A version that drains may be wanted again meanwhile."""
    monitor = StateMonitor()
    live(monitor.begin(a_version(1)), *UP, State.DRAINING)
    live(monitor.begin(a_version(2)), *UP)
    live(monitor.begin(a_version(1)), State.FETCHING)
    assert [(status.version, status.state) for status in monitor.statuses()] == [
        (a_version(1), State.FETCHING),
        (a_version(2), State.READY),
    ]


def test_lives_that_are_over_are_forgotten_oldest_first() -> None:
    """One that is not over never is."""
    monitor = StateMonitor()
    live(monitor.begin(a_version(0)), *UP)
    for number in range(1, KEPT_LIFECYCLES + 10):
        live(monitor.begin(a_version(number)), State.FAILED)
    numbers = [int(status.version.version) for status in monitor.statuses()]
    assert len(numbers) <= KEPT_LIFECYCLES + 1
    assert numbers[0] == KEPT_LIFECYCLES + 9
    assert numbers[-1] == 0
    assert 1 not in numbers


def test_the_age_of_the_last_good_look_is_known() -> None:
    """A failed look does not make it younger, and a good one clears the error."""
    monitor = StateMonitor()
    assert (monitor.has_looked, monitor.registry_age_s, monitor.last_good_look_at) == (
        False,
        None,
        None,
    )
    monitor.look_failed("down")
    assert (monitor.has_looked, monitor.registry_error) == (False, "down")
    monitor.looked(a_version(1))
    age_s = monitor.registry_age_s
    assert age_s is not None
    assert age_s >= 0
    assert (monitor.registry_error, monitor.promoted) == ("", a_version(1))
    seen_at = monitor.last_good_look_at
    monitor.look_failed("down again")
    assert (monitor.last_good_look_at, monitor.promoted) == (seen_at, a_version(1))
    assert monitor.registry_age_s is not None
    assert monitor.registry_age_s >= age_s
