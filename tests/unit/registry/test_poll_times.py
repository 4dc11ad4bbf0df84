import itertools

import pytest

from service.registry.poll_times import Polls, PollTimes


def moments(times: PollTimes, interval_s: float, start_s: float, count: int) -> list[float]:
    """Return when something that starts at a time looks."""
    now_s, looks = start_s, []
    for _ in range(count):
        now_s += times.delay_s(now_s, interval_s)
        looks.append(now_s)
    return looks


def test_what_starts_at_any_time_looks_in_the_same_moments() -> None:
    """So that a registry can be asked for all together."""
    times = PollTimes(0.7)
    for start_s in (10.0, 10.69, 10.71, 11.9):
        assert moments(times, 2.0, start_s, 9)[-1] % 2.0 == pytest.approx(0.7)


def test_longer_intervals_share_moments_with_shorter_ones() -> None:
    """Every fifth look at a pointer of 2 s is one at a pointer of 10 s."""
    times = PollTimes(1234.5)
    often = {round(at, 6) for at in moments(times, 2.0, 3.3, 50)}
    assert {round(at, 6) for at in moments(times, 10.0, 8.8, 9)} <= often


def test_no_interval_is_left_out_or_looked_in_twice() -> None:
    """However the clock's numbers are rounded, and wherever it stands."""
    for interval_s in (0.1, 0.3, 2.0, 60.0):
        looks = moments(PollTimes(0.123456789), interval_s, 987654.321, 500)
        gaps = [after - before for before, after in itertools.pairwise(looks)]
        assert max(gaps) == pytest.approx(interval_s, rel=0.02)
        assert min(gaps) == pytest.approx(interval_s, rel=0.02)


def test_services_that_start_together_do_not_look_in_step() -> None:
    """Each chooses moments of its own."""
    offsets = {round(PollTimes().delay_s(0.0, 2.0), 6) for _ in range(20)}
    assert len(offsets) == 20


def test_looks_are_spread_where_a_registry_is_asked_for_each() -> None:
    """And are together again once it can be asked for all."""
    times, singly = PollTimes(0.0), True
    fleet = [Polls(times, 2.0, lambda: singly) for _ in range(20)]
    apart = {round(each.delay_s(100.5), 6) for each in fleet}
    assert len(apart) == 20
    assert all(0 < delay_s <= 2.001 for delay_s in apart)
    singly = False
    assert {each.delay_s(100.5) for each in fleet} == {1.5}
