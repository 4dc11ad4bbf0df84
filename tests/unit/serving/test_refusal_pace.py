"""Callers that are refused and come back with no pause are held back, and nobody else is."""

import asyncio

import pytest

from service.serving.refusal_pace import (
    A_SECOND,
    A_SECOND_BESIDE_OTHERS,
    BURST_S,
    MOST_S,
    RefusalPace,
)

CALLERS = 64

pytestmark = pytest.mark.loops("virtual")


@pytest.mark.parametrize(
    ("beside_others", "a_second"), [(False, A_SECOND), (True, A_SECOND_BESIDE_OTHERS)]
)
async def test_refusals_beyond_a_rate_are_held_back(*, beside_others: bool, a_second: int) -> None:
    """Each caller asks again as soon as it is refused; another model's are refused immediately."""
    pace, loop = RefusalPace(), asyncio.get_running_loop()
    ends_s, refused = loop.time() + 2.0, 0

    async def ask() -> None:
        nonlocal refused
        while loop.time() < ends_s:
            await pace.wait("flooded", beside_others=beside_others)
            refused += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(ask())
        await asyncio.sleep(1.0)
        began_s = loop.time()
        await pace.wait("other")
        assert loop.time() == began_s
    assert 0.9 * 2.0 * a_second < refused < 1.1 * a_second * (2.0 + BURST_S) + CALLERS


async def test_none_is_held_back_for_long() -> None:
    """However many are refused together."""
    pace, loop = RefusalPace(), asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.gather(*(pace.wait("m") for _ in range(10 * A_SECOND)))
    assert loop.time() - began_s <= MOST_S + 0.01


async def test_a_caller_is_told_while_it_waits() -> None:
    """Of the time that it has, half is left; one whose time is over is told immediately."""
    pace, loop = RefusalPace(), asyncio.get_running_loop()
    began_s = loop.time()
    held = [asyncio.create_task(pace.wait("m")) for _ in range(10 * A_SECOND)]
    await asyncio.sleep(0)
    for left_s in (0.1, 0.0, -1.0):
        asked_s = loop.time()
        await pace.wait("m", asked_s + left_s)
        assert loop.time() - asked_s == pytest.approx(max(0.0, left_s / 2), abs=0.002)
    assert loop.time() - began_s < MOST_S
    await asyncio.gather(*held)
