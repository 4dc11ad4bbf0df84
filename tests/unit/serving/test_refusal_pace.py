"""Callers that are refused and come back with no pause are held back, and nobody else is."""

import asyncio

import pytest

from service.serving.refusal_pace import A_SECOND, BURST_S, MOST_S, RefusalPace

CALLERS = 64

pytestmark = pytest.mark.loops("virtual")


async def test_refusals_beyond_a_rate_are_held_back() -> None:
    """Each caller asks again as soon as it is refused; another model's are refused immediately."""
    pace, loop = RefusalPace(), asyncio.get_running_loop()
    ends_s, refused = loop.time() + 2.0, 0

    async def ask() -> None:
        nonlocal refused
        while loop.time() < ends_s:
            await pace.wait("flooded")
            refused += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(ask())
        await asyncio.sleep(1.0)
        began_s = loop.time()
        await pace.wait("other")
        assert loop.time() == began_s
    assert 0.9 * 2.0 * A_SECOND < refused < 1.1 * A_SECOND * (2.0 + BURST_S) + CALLERS


async def test_none_is_held_back_for_long() -> None:
    """However many are refused together."""
    pace, loop = RefusalPace(), asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.gather(*(pace.wait("m") for _ in range(10 * A_SECOND)))
    assert loop.time() - began_s <= MOST_S + 0.01
