from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef
from service.registry.group_look import FEW, GroupLook
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest
from tests.support.fake_source import a_version

pytestmark = pytest.mark.loops("virtual")

TIMEOUT_S = 10.0
LOOK_S = 0.01
MANY = 20


def ref(number: int) -> ModelRef:
    """Return the pointer of one of many models."""
    return ModelRef.for_alias(f"m{number}", "champion")


class FakeRegistry:
    """A registry of many models, and what was asked of it: names, or tuples of them together."""

    def __init__(self) -> None:
        self.asked: list[str | tuple[str, ...]] = []
        self.hidden: set[str] = set()
        """What a search does not show."""
        self.absent: set[str] = set()
        self.slow: set[str] = set()
        """What takes all the time that there is, and gives no answer."""
        self.refused = ""
        self.search_takes_s = LOOK_S
        self.search_error: Exception | None = None
        self.outage_s = -1.0
        self.look = GroupLook(self.ask, self.search, TIMEOUT_S)

    async def ask(self, request: ResolveRequest) -> ResolveReply:
        """Answer for one pointer."""
        name = request.ref.name
        self.asked.append(name)
        if self.outage_s >= 0:
            await anyio.sleep(self.outage_s)
            raise SourceUnavailableError("connection refused")
        if name in self.slow:
            await anyio.sleep(0.8 * TIMEOUT_S)
            raise SourceUnavailableError(f"{name} timed out")
        await anyio.sleep(LOOK_S)
        return ResolveReply(None if name in self.absent else a_version(1, name=name))

    async def search(self, request: SearchRequest) -> SearchReply:
        """Answer for many, as far as a search shows them."""
        names = tuple(each.name for each in request.refs)
        self.asked.append(names)
        await anyio.sleep(self.search_takes_s)
        if self.search_error is not None:
            raise self.search_error
        shown = set(names) - self.hidden - self.absent
        return SearchReply(
            tuple(
                ResolveReply(a_version(1, name=name))
                if name in shown and not self.refused
                else None
                for name in names
            ),
            self.refused,
        )

    def take_asked(self) -> list[str | tuple[str, ...]]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked

    async def look_for(self, *numbers: int) -> dict[int, str]:
        """Ask for some pointers together; return what each caller got, in words."""
        got: dict[int, str] = {}

        async def resolve(number: int) -> None:
            try:
                reply = await self.look.resolve(ResolveRequest(ref(number)))
            except SourceUnavailableError as error:
                got[number] = str(error)
            else:
                got[number] = reply.version.name if reply.version else "absent"

        async with anyio.create_task_group() as callers:
            for number in numbers:
                callers.start_soon(resolve, number)
        return got


@asynccontextmanager
async def a_registry() -> AsyncIterator[FakeRegistry]:
    """Have looks made meanwhile."""
    registry = FakeRegistry()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.look.run)
        yield registry
        tasks.cancel_scope.cancel()


def names_of(count: int) -> dict[int, str]:
    """Return what callers of pointers that all mean something get."""
    return {number: f"m{number}" for number in range(count)}


async def test_a_lone_caller_is_answered_by_one_look_of_its_own_and_waits_for_nobody() -> None:
    """As if there were no others: no search, and no delay."""
    async with a_registry() as registry:
        began_s = anyio.current_time()
        assert await registry.look_for(0) == {0: "m0"}
        assert anyio.current_time() - began_s == pytest.approx(LOOK_S)
        assert registry.asked == ["m0"]


async def test_a_few_are_asked_for_one_by_one() -> None:
    """That costs a registry less than a search."""
    async with a_registry() as registry:
        assert await registry.look_for(*range(FEW)) == names_of(FEW)
        assert registry.asked == [f"m{number}" for number in range(FEW)]


async def test_many_that_ask_together_are_answered_by_one_search() -> None:
    """Each by its own pointer's version."""
    async with a_registry() as registry:
        assert await registry.look_for(*range(MANY)) == names_of(MANY)
        (searched,) = registry.asked
        assert set(searched) == set(names_of(MANY).values())


async def test_what_is_asked_during_a_look_goes_together_into_the_next_one() -> None:
    """It is answered by a look that began after it was asked."""
    async with a_registry() as registry:
        registry.search_takes_s = 1
        async with anyio.create_task_group() as callers:
            for number in range(MANY):
                callers.start_soon(registry.look_for, number)
            await anyio.sleep(0.5)
            for number in range(MANY):
                callers.start_soon(registry.look_for, number)
        assert [len(each) for each in registry.asked] == [MANY, MANY]


async def test_a_fleet_that_asks_within_some_milliseconds_shares_a_look() -> None:
    """Once it is known that there are many."""
    async with a_registry() as registry:
        await registry.look_for(*range(MANY))
        registry.take_asked()
        async with anyio.create_task_group() as callers:
            for number in range(MANY):
                callers.start_soon(registry.look_for, number)
                await anyio.sleep(0.0005)
        assert [len(each) for each in registry.asked] == [MANY]


async def test_two_callers_of_one_pointer_share_its_answer() -> None:
    """The registry is asked once."""
    async with a_registry() as registry:
        assert await registry.look_for(1, 1) == {1: "m1"}
        assert registry.asked == ["m1"]


async def test_what_a_search_does_not_show_is_asked_for_by_name() -> None:
    """It may be there: only the registry's word on the pointer itself counts as absence."""
    async with a_registry() as registry:
        registry.hidden, registry.absent = {"m3"}, {"m7"}
        assert await registry.look_for(*range(MANY)) == {**names_of(MANY), 7: "absent"}
        assert registry.asked[1:] == ["m3", "m7"]


async def test_a_long_list_is_searched_for_in_parts() -> None:
    """A filter is part of an address, which may not be of any length."""
    async with a_registry() as registry:
        assert await registry.look_for(*range(250)) == names_of(250)
        assert [len(each) for each in registry.asked] == [100, 100, 50]
        registry.take_asked()
        long = [ModelRef.for_alias(f"{'ö' * 200}{number}", "champion") for number in range(8)]
        async with anyio.create_task_group() as callers:
            for each in long:
                callers.start_soon(registry.look.resolve, ResolveRequest(each))
        assert [len(each) for each in registry.asked] == [3, 3, 2]


async def test_pointers_that_no_search_can_show_are_asked_for_by_name() -> None:
    """Runs, logged models and version numbers."""
    uris = [f"models:/m/{number}" for number in range(1, 8)]
    async with a_registry() as registry, anyio.create_task_group() as callers:
        for uri in uris:
            callers.start_soon(registry.look.resolve, ResolveRequest(ModelRef.parse(uri)))
    assert registry.asked == ["m"] * len(uris)


async def test_a_registry_that_refuses_to_search_is_asked_singly_for_some_minutes() -> None:
    """And says so meanwhile, so that looks can be spread."""
    async with a_registry() as registry:
        registry.refused = "no such comparator: IN"
        assert not registry.look.looks_singly
        assert await registry.look_for(*range(MANY)) == names_of(MANY)
        assert [type(each) for each in registry.take_asked()] == [tuple] + MANY * [str]
        assert registry.look.looks_singly
        await registry.look_for(*range(MANY))
        assert [type(each) for each in registry.take_asked()] == MANY * [str]
        await anyio.sleep(700)
        assert not registry.look.looks_singly
        registry.refused = ""
        await registry.look_for(*range(MANY))
        assert [type(each) for each in registry.take_asked()] == [tuple]


async def test_a_search_that_fails_alone_costs_no_pointer_its_answer() -> None:
    """It is not tried again for a while."""
    async with a_registry() as registry:
        registry.search_takes_s = 0.8 * TIMEOUT_S
        registry.search_error = SourceUnavailableError("the search timed out")
        assert await registry.look_for(*range(MANY)) == names_of(MANY)
        registry.take_asked()
        assert await registry.look_for(*range(MANY)) == names_of(MANY)
        assert [type(each) for each in registry.take_asked()] == MANY * [str]


@pytest.mark.parametrize("outage_s", [0.0, 0.8 * TIMEOUT_S], ids=["refused", "silent"])
async def test_an_outage_is_told_to_all_and_within_two_looks_time(outage_s: float) -> None:
    """Not one after the other, each after a time limit of its own."""
    async with a_registry() as registry:
        registry.outage_s = registry.search_takes_s = outage_s
        registry.search_error = SourceUnavailableError("connection refused")
        began_s = anyio.current_time()
        got = await registry.look_for(*range(MANY))
        assert set(got.values()) == {"connection refused"}
        assert anyio.current_time() - began_s <= 2 * TIMEOUT_S
        registry.outage_s, registry.search_error = -1.0, None
        assert await registry.look_for(*range(MANY)) == names_of(MANY)


async def test_pointers_that_give_no_answer_keep_no_others_waiting_from_the_next_look_on() -> None:
    """They are asked for last."""
    async with a_registry() as registry:
        registry.refused = "Unity Catalog takes no filter"
        registry.slow = {"m0", "m1", "m2"}
        await registry.look_for(*range(MANY))
        got = await registry.look_for(*range(MANY))
        assert {number for number, said in got.items() if said != f"m{number}"} == {0, 1, 2}


async def test_one_that_fails_fails_alone() -> None:
    """Also in the first look."""
    async with a_registry() as registry:
        registry.hidden = registry.slow = {"m0"}
        got = await registry.look_for(*range(MANY))
        assert got == {**names_of(MANY), 0: "m0 timed out"}


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    """Not even one that asked for the same pointer."""
    async with a_registry() as registry, anyio.create_task_group() as callers:
        registry.search_takes_s = 1
        got: dict[int, str] = {}

        async def ask() -> None:
            got.update(await registry.look_for(*range(MANY)))

        callers.start_soon(ask)
        with anyio.move_on_after(0.5) as scope:
            await registry.look_for(*range(MANY))
        assert scope.cancelled_caught
        await anyio.sleep(1)
        assert got == names_of(MANY)
        assert len(registry.asked) == 1


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
async def test_it_outlives_whatever_a_look_raises(error: Callable[[], Exception]) -> None:
    """For callers that is an outage."""
    async with a_registry() as registry:
        registry.search_error = error()
        got = await registry.look_for(*range(MANY))
        assert all("the service failed over it" in said for said in got.values())
        registry.search_error = None
        assert await registry.look_for(*range(MANY)) == names_of(MANY)


async def test_nobody_waits_for_looks_that_are_over() -> None:
    """Neither those that waited nor those that come later."""
    registry = FakeRegistry()
    got: list[dict[int, str]] = []

    async def ask(*numbers: int) -> None:
        got.append(await registry.look_for(*numbers))

    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(registry.look.run)
            callers.start_soon(ask, 0)
            await anyio.sleep(LOOK_S / 2)
            callers.start_soon(ask, 1)
            await anyio.sleep(LOOK_S / 4)
            tasks.cancel_scope.cancel()
        await ask(2)
    assert all(
        said == "the registry is not asked any more" for each in got for said in each.values()
    )
    assert len(got) == 3
