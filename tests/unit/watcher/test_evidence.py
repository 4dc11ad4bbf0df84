"""The test on probation, by a seeded simulation of independent requests through the real code."""

import math
import os
import statistics

import numpy as np
import pytest

from service.serving.record import Known
from service.watcher.evidence import Counting, Evidence, tolerated_rate, upper_bound
from service.watcher.probation import APART_S

ALPHA = 0.01
FLOOR = 0.01
REQUESTS = 2_000
RUNS = 5_000 if os.environ.get("HOTSWAP_LONG_FAULTS") else 200
RATES = (0.0, 0.001, 0.01, 0.02, 0.05)
SPEEDS = (1, 10, 100, 5_000)
"""Requests a second."""


def failing(rng: np.random.Generator, rate: float, requests: int) -> list[int]:
    """Return which of so many requests fail, independently of each other; the first is number 1."""
    return [int(at) + 1 for at in np.flatnonzero(rng.random(requests) < rate)]


def found_after(
    known: Known, failing: list[int], speed: float, bodies: dict[int, int] | None = None
) -> float:
    """Return after how many requests a version is rolled back, infinity where it is not.

    Requests come evenly, so many a second; each is looked at. `bodies` names the body of each that
    fails, where they are not all different.
    """
    evidence = Evidence(tolerated_rate(known, FLOOR, ALPHA / 2), ALPHA / 2)
    counting = Counting(evidence, 0)
    apart = math.ceil(APART_S * speed)
    again = 0
    for failures_before, number in enumerate(failing):
        if again and number >= again:
            counting.look_again(again - 1 - failures_before)
            again = 0
        body = bodies[number] if bodies else number
        if counting.takes(b"%d" % body, number - 1 - failures_before, number / speed):
            counting.weighed(is_own=True)
            if evidence.is_enough and evidence.rate > FLOOR:
                return number
            again = number + apart
    return math.inf


def known_of(rng: np.random.Generator, requests: int, rate: float) -> Known:
    """Return what so many requests tell of a version."""
    return Known(requests, int(rng.binomial(requests, rate)))


def runs(
    before: float,
    known: int,
    rate: float,
    speed: float,
    requests: int = REQUESTS,
    count: int = RUNS,
) -> list[float]:
    """Return after how many requests each of many versions is rolled back."""
    rng = np.random.default_rng(7)
    return [
        found_after(known_of(rng, known, before), failing(rng, rate, requests), speed)
        for _ in range(count)
    ]


def share_found(found: list[float]) -> float:
    """Return the share of versions that were rolled back."""
    return sum(map(math.isfinite, found)) / len(found)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("known", [20, 1_000, 10_000])
def test_a_version_as_good_as_the_one_before_is_hardly_ever_rolled_back(
    known: int, speed: int
) -> None:
    """In at most one of a hundred, at each rate of failures, whatever is known."""
    for rate in RATES:
        assert share_found(runs(rate, known, rate, speed)) <= ALPHA


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_version_that_fails_no_more_than_the_floor_is_hardly_ever_rolled_back(
    speed: int,
) -> None:
    """Where nothing is known of a version before."""
    assert share_found(runs(0.0, 0, FLOOR, speed)) <= ALPHA


@pytest.mark.parametrize(
    ("known", "rate", "limit"),
    [(1_000, 0.03, 350), (10_000, 0.03, 200), (1_000, 0.2, 20), (10_000, 0.2, 20)],
)
@pytest.mark.parametrize("speed", [1, 10])
def test_a_version_that_is_worse_is_found_soon(
    known: int, rate: float, limit: int, speed: int
) -> None:
    """After one in a thousand before: in 99 of 100 within 2,000 requests, and by the median."""
    found = runs(0.001, known, rate, speed, count=4 * RUNS)
    assert share_found(found) >= 0.99
    assert statistics.median(found) <= limit


@pytest.mark.parametrize(("rate", "limit"), [(1.0, 5), (0.5, 15)])
@pytest.mark.parametrize("speed", [1, 10])
def test_a_version_that_fails_much_is_found_at_once_where_nothing_is_known(
    rate: float, limit: int, speed: int
) -> None:
    """All: within 5 requests; half: within 15, by the median."""
    found = runs(0.0, 0, rate, speed)
    assert share_found(found) == 1.0
    assert statistics.median(found) <= limit


@pytest.mark.parametrize(
    ("speed", "known", "rate", "limit_s"),
    [
        (100, 1_000, 0.03, 5.5),
        (100, 10_000, 0.03, 2.0),
        (100, 1_000, 0.2, 0.4),
        (100, 10_000, 0.2, 0.2),
        (100, 0, 1.0, 0.2),
        (5_000, 1_000, 0.03, 1.5),
        (5_000, 10_000, 0.03, 0.5),
        (5_000, 1_000, 0.2, 0.3),
        (5_000, 10_000, 0.2, 0.2),
        (5_000, 0, 1.0, 0.2),
    ],
)
def test_many_requests_a_second_are_as_many_witnesses_as_tenths_of_a_second(
    speed: int, known: int, rate: float, limit_s: float
) -> None:
    """There time bounds the test, by the median, and not the number of requests."""
    found = runs(0.001, known, rate, speed, requests=max(REQUESTS, 6 * speed), count=RUNS // 2)
    assert share_found(found) >= 0.98
    assert statistics.median(found) / speed <= limit_s


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("known", [0, 1_000, 10_000])
def test_a_version_that_fails_all_that_is_asked_though_it_is_one_body(
    speed: int, known: int
) -> None:
    """It is out within a second of its fifth request, or a few more, though it answered one."""
    bodies = dict.fromkeys(range(2, 6 * max(speed, 10)), 1)
    found = found_after(Known(known, 0), sorted(bodies), speed, bodies)
    assert found <= 5 + max(speed, 8)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("repeats", [2, 5])
def test_a_body_that_fails_is_no_more_witnesses_for_being_sent_again(
    speed: int, repeats: int
) -> None:
    """Errors that belong to certain bodies, in the version before, too; each has its caller."""
    rng = np.random.default_rng(8)
    for rate in RATES:
        found = []
        for _ in range(RUNS):
            known = Known(10_000, len(sent_again(rng, rate / repeats, 10_000, repeats)))
            bodies = sent_again(rng, rate / repeats, REQUESTS, repeats)
            found.append(found_after(known, sorted(bodies), speed, bodies))
        assert share_found(found) <= ALPHA


def sent_again(
    rng: np.random.Generator, rate: float, requests: int, repeats: int
) -> dict[int, int]:
    """Return the requests that fail, and their bodies, each of which comes so often in a row."""
    numbers = {n + i: n for n in failing(rng, rate, requests) for i in range(repeats)}
    return {number: body for number, body in numbers.items() if number <= requests}


@pytest.mark.parametrize("alpha", [0.05, 0.005, 0.0005])
def test_what_is_tolerated_is_hardly_ever_less_than_the_true_rate(alpha: float) -> None:
    """With a probability of alpha at most, for the worst of rates: just above what is tolerated."""
    for requests in (1, 7, 50, 300):
        for failures in range(requests):
            bound = 1.5 * upper_bound(Known(requests, failures), alpha ** (1 / 1.5))
            so_few = math.fsum(
                math.comb(requests, k) * bound**k * (1 - bound) ** (requests - k)
                for k in range(failures + 1)
                if bound < 1
            )
            assert so_few <= alpha * (1 + 1e-6)


def test_evidence_is_what_the_likelihoods_say() -> None:
    """The mean of the ratios, to the last digits, and without overflow where they have none."""
    evidence = Evidence(0.01, ALPHA / 2)
    assert evidence.log_value == pytest.approx(0.0, abs=1e-12)
    evidence.note(3, 2)
    odds = [2 * (1 / 99) * (1.5 / (2 / 99)) ** (i / 6) for i in range(7)]
    rates = [each / (1 + each) for each in odds]
    ratios = [(p / 0.01) ** 2 * ((1 - p) / 0.99) ** 3 for p in rates]
    assert math.exp(evidence.log_value) == pytest.approx(sum(ratios) / 7)
    evidence.note(0, 10_000_000)
    assert math.isfinite(evidence.log_value)
    assert evidence.is_enough
    evidence.note(10**12, 0)
    assert math.isfinite(evidence.log_value)
    assert not evidence.is_enough


def test_what_fails_all_before_is_never_exceeded() -> None:
    """There is no higher rate that could be looked for."""
    evidence = Evidence(tolerated_rate(Known(50, 50), FLOOR, ALPHA / 2), ALPHA / 2)
    evidence.note(0, 10_000)
    assert not evidence.is_enough
