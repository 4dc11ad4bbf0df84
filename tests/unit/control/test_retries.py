"""When a version is tried again that failed for a reason that passes."""

import anyio
import pytest

from service.control.retries import MOST_FAILURES, Retries
from service.core.errors import FetchFailedError
from tests.support.fake_source import a_version

pytestmark = pytest.mark.loops("virtual")

ERROR = FetchFailedError("disk full")


async def test_each_failure_puts_off_the_next_try_for_twice_as_long() -> None:
    """Up to a minute, each time a little more or less, so that a fleet's tries are spread."""
    retries = Retries()
    waits = [retries.note(a_version(1), ERROR).retry_in_s for _ in range(9)]
    assert waits == [pytest.approx(min(2**n, 60), rel=0.2) for n in range(9)]
    assert retries.next_in_s == pytest.approx(waits[-1])
    assert retries.backing_off == {a_version(1)}
    await anyio.sleep(waits[-1])
    assert retries.backing_off == frozenset()
    assert retries.error(a_version(1)) is ERROR


async def test_what_is_forgotten_is_tried_immediately_and_begins_anew() -> None:
    """One version, or all of them."""
    retries = Retries()
    for number in (1, 2):
        retries.note(a_version(number), ERROR)
        retries.note(a_version(number), ERROR)
    retries.forget(a_version(1))
    assert retries.backing_off == {a_version(2)}
    assert retries.error(a_version(1)) is None
    assert retries.note(a_version(1), ERROR).attempts == 1
    retries.clear()
    assert retries.backing_off == frozenset()
    assert retries.next_in_s == float("inf")


async def test_versions_that_fail_one_after_the_other_fill_no_memory() -> None:
    """Only the last ones are known."""
    retries = Retries()
    for number in range(MOST_FAILURES + 30):
        retries.note(a_version(number), ERROR)
    assert retries.backing_off == {a_version(n) for n in range(30, MOST_FAILURES + 30)}
