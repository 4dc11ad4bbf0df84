"""What every Source promises, held against the fake that other tests use and the real thing."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

import anyio
import anyio.to_thread
import pytest

from service.core.errors import SourceUnavailableError
from service.core.versions import ModelRef
from service.registry.group_look import FEW, GroupLook
from service.registry.inside.resolving import resolve
from service.registry.inside.searching import Searches
from service.registry.messages import ResolveReply, ResolveRequest, SearchReply, SearchRequest
from service.registry.sources import RegistrySource, Source
from tests.support.fake_source import FakeSource, a_version
from tools.mlflow_server import MlflowServer, free_port, unique_name


class Registry(Protocol):
    """A registry with one pointer that a test can move."""

    @property
    def source(self) -> Source:
        """The pointer's Source."""

    def promote(self, number: int) -> None:
        """Point at version 1 or 2."""

    def unpromote(self) -> None:
        """Point at nothing."""

    def fail(self) -> None:
        """Stop answering."""

    def recover(self) -> None:
        """Answer again."""


class FakeRegistry:
    def __init__(self, name: str) -> None:
        self.source = FakeSource(ModelRef.for_alias(name, "champion"))
        self._name = name

    def promote(self, number: int) -> None:
        """Point at version 1 or 2."""
        self.source.version = a_version(number, name=self._name)

    def unpromote(self) -> None:
        """Point at nothing."""
        self.source.version = None

    def fail(self) -> None:
        """Stop answering."""
        self.source.outage = "connection refused"

    def recover(self) -> None:
        """Answer again."""
        self.source.outage = ""


async def ask_by_name(request: ResolveRequest) -> ResolveReply:
    """Ask for one pointer."""
    return await anyio.to_thread.run_sync(resolve, request)


class AskedWithOthers:
    """Asks for a pointer while others ask for theirs: a search answers all."""

    def __init__(self) -> None:
        self._searches = Searches()
        self.searched = 0

    async def ask(self, request: ResolveRequest) -> ResolveReply:
        """Ask for one pointer among some."""
        got: list[ResolveReply | SourceUnavailableError] = []
        look = GroupLook(self._ask, self._search, 10)

        async def resolve_one(each: ModelRef) -> None:
            outcome: ResolveReply | SourceUnavailableError
            try:
                outcome = await look.resolve(ResolveRequest(each))
            except SourceUnavailableError as error:
                outcome = error
            if each == request.ref:
                got.append(outcome)

        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as callers:
                for number in range(FEW):
                    callers.start_soon(resolve_one, ModelRef.for_alias(f"none{number}", "x"))
                callers.start_soon(resolve_one, request.ref)
                await anyio.lowlevel.checkpoint()
                tasks.start_soon(look.run)
            tasks.cancel_scope.cancel()
        assert self.searched
        (outcome,) = got
        if isinstance(outcome, SourceUnavailableError):
            raise outcome
        return outcome

    async def _ask(self, request: ResolveRequest) -> ResolveReply:
        return await anyio.to_thread.run_sync(self._searches.resolve, request)

    async def _search(self, request: SearchRequest) -> SearchReply:
        self.searched += 1
        return await anyio.to_thread.run_sync(self._searches.search, request)


class RealRegistry:
    def __init__(
        self,
        name: str,
        server: MlflowServer,
        ask: Callable[[ResolveRequest], Awaitable[ResolveReply]],
    ) -> None:
        self.source = RegistrySource(ModelRef.for_alias(name, "champion"), ask)
        self._name = name
        self._server = server
        for factor in (1.0, 2.0):
            server.register_tiny(name, factor)
        self.recover()

    def promote(self, number: int) -> None:
        """Point at version 1 or 2."""
        self._server.set_alias(self._name, "champion", number)

    def unpromote(self) -> None:
        """Point at nothing."""
        self._server.delete_alias(self._name, "champion")

    def fail(self) -> None:
        """Stop answering."""
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{free_port()}"

    def recover(self) -> None:
        """Answer again."""
        os.environ["MLFLOW_TRACKING_URI"] = self._server.uri


@pytest.fixture
def name() -> str:
    """Give a model's name that no other test has."""
    return unique_name("contract")


@pytest.fixture(params=["fake", "real", "real-with-others"])
async def registry(
    request: pytest.FixtureRequest, name: str, registry_client_environment: Iterator[None]
) -> AsyncIterator[Registry]:
    """Give each kind in turn, with nothing promoted."""
    del registry_client_environment
    if request.param == "fake":
        yield FakeRegistry(name)
    else:
        server = request.getfixturevalue("mlflow_server")
        alone = request.param == "real"
        yield RealRegistry(name, server, ask_by_name if alone else AskedWithOthers().ask)


async def test_nothing_promoted_is_none(registry: Registry, name: str) -> None:
    """With a note that names what is missing."""
    assert await registry.source.resolve() is None
    assert registry.source.note
    assert registry.source.ref.name == name


async def test_the_promoted_version_is_named_in_full(registry: Registry, name: str) -> None:
    """The number is text, whatever the store calls it."""
    registry.promote(1)
    version = await registry.source.resolve()
    assert version is not None
    assert (version.name, version.version) == (name, "1")
    assert version.registry
    assert version.source
    assert registry.source.note == ""


async def test_the_same_promotion_gives_an_equal_version(registry: Registry) -> None:
    """Equal and of the same key, look after look."""
    registry.promote(1)
    first, second = await registry.source.resolve(), await registry.source.resolve()
    assert first is not None
    assert first == second


async def test_a_move_is_seen_at_the_next_look_and_so_is_the_way_back(registry: Registry) -> None:
    """An alias may point at any version in any order."""
    seen = []
    for number in (1, 2, 1):
        registry.promote(number)
        version = await registry.source.resolve()
        seen.append(version.version if version else None)
    assert seen == ["1", "2", "1"]


async def test_a_pointer_that_was_taken_away_is_none(registry: Registry) -> None:
    """The registry itself says so."""
    registry.promote(1)
    registry.unpromote()
    assert await registry.source.resolve() is None


async def test_an_outage_raises_and_never_looks_like_nothing_promoted(registry: Registry) -> None:
    """And it ends with the outage."""
    registry.promote(1)
    registry.fail()
    with pytest.raises(SourceUnavailableError, match="refused"):
        await registry.source.resolve()
    registry.recover()
    assert await registry.source.resolve() is not None
