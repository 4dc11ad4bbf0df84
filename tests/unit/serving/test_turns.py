"""Requests for a model that few ask are not behind all of those for one that many ask."""

import asyncio

import pytest

from service.serving.turns import TOGETHER, Turns

FLOOD = 1_000

pytestmark = pytest.mark.loops("asyncio", "uvloop")


async def begin(turns: Turns, model: str, begun: list[str]) -> None:
    """Be a request for a model."""
    if not turns.has_turn(model):
        await turns.turn(model)
    begun.append(model)


async def test_what_comes_for_another_model_is_behind_a_few_at_most() -> None:
    """However many wait already; and all of them begin in the end, with no pause between."""
    turns, begun = Turns(), list[str]()
    async with asyncio.TaskGroup() as group:
        group.create_task(begin(turns, "calm", begun))
        for _ in range(FLOOD):
            group.create_task(begin(turns, "flooded", begun))
        while len(begun) < FLOOD // 2:
            before = len(begun)
            await group.create_task(begin(turns, "calm", begun))
            assert begun[before:].index("calm") <= 2 * TOGETHER
    assert begun.count("flooded") == FLOOD


async def test_requests_for_a_model_begin_in_the_order_of_their_coming() -> None:
    """Also those that come while others wait."""
    turns, begun = Turns(), list[str]()
    turns.has_turn("other")

    async def ask(number: int) -> None:
        if not turns.has_turn("m"):
            await turns.turn("m")
        begun.append(str(number))

    async with asyncio.TaskGroup() as group:
        for number in range(5 * TOGETHER):
            group.create_task(ask(number))
            if number % 3 == 0:
                await asyncio.sleep(0)
    assert begun == [str(number) for number in range(5 * TOGETHER)]


async def test_one_model_alone_never_waits() -> None:
    """Nor does one beside which another was asked a while ago."""
    turns = Turns()
    turns.has_turn("other")
    turns.has_turn("m")
    await asyncio.sleep(0.06)
    assert turns.has_turn("m")
    assert all(turns.has_turn("m") for _ in range(FLOOD))


async def test_a_caller_that_is_gone_takes_no_turn() -> None:
    """What waits behind it begins as if it were not there."""
    turns, begun = Turns(), list[str]()
    turns.has_turn("other")
    asked = [asyncio.create_task(begin(turns, "m", begun)) for _ in range(3 * TOGETHER)]
    await asyncio.sleep(0)
    for one in asked[TOGETHER : 2 * TOGETHER]:
        one.cancel()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, asyncio.CancelledError) for one in ended) == TOGETHER
    assert len(begun) == 2 * TOGETHER
