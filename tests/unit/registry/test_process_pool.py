from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import anyio
import anyio.lowlevel
import pytest

from service.processes.child_spec import ChildSpec
from service.processes.protocol import Nothing
from service.registry.process_pool import ProcessPool

pytestmark = pytest.mark.loops("virtual")

T = TypeVar("T")

MOST = 4
IDLE_S = 60.0
CALL_S = 10.0


def of(registry: str) -> ChildSpec:
    """Say what a registry's processes are."""
    return ChildSpec("module:function", "fetch", registry.encode(), Path("/nowhere"))


class FakeProcess:
    """Takes some seconds for each call, as its operation's name says; it is gone if cancelled."""

    def __init__(self, pid: int, running: set[int]) -> None:
        self._own_pid = pid
        self._running = running
        self.pid: int | None = None

    async def ask(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        """Take its time. One call after another, as the real one does."""
        del request, timeout_s
        assert reply is int
        self.pid = self._own_pid
        self._running.add(self.pid)
        try:
            await anyio.sleep(float(op))
        except BaseException:
            await self.close()
            raise
        return cast("T", self._own_pid)

    async def close(self) -> None:
        """End."""
        self._running.discard(self._own_pid)
        self.pid = None


class FakePool:
    """A pool of such processes, and what its calls got."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.made = 0
        self.got: list[int] = []
        self.pool = ProcessPool(MOST, self._make, IDLE_S)

    def _make(self, spec: ChildSpec) -> FakeProcess:
        del spec
        self.made += 1
        return FakeProcess(self.made, self.running)

    async def call(self, seconds: float = CALL_S, registry: str = "a") -> int:
        """Make one call."""
        pid = await self.pool.ask(of(registry), str(seconds), Nothing(), int, 900)
        self.got.append(pid)
        return pid


@asynccontextmanager
async def a_pool() -> AsyncIterator[FakePool]:
    """End its idle ones meanwhile."""
    fake = FakePool()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fake.pool.run)
        yield fake
        tasks.cancel_scope.cancel()


async def test_calls_run_beside_each_other_in_processes_of_their_own() -> None:
    """The one after the last process waits for the first that is free."""
    async with a_pool() as fake:
        began_s = anyio.current_time()
        async with anyio.create_task_group() as calls:
            for _ in range(MOST + 1):
                calls.start_soon(fake.call)
            await anyio.sleep(CALL_S / 2)
            assert len(fake.running) == MOST
        assert anyio.current_time() - began_s == 2 * CALL_S
        assert fake.made == MOST
        assert sorted(fake.got[:MOST]) == [1, 2, 3, 4]
        assert fake.got[MOST] in fake.got[:MOST]


async def test_a_free_process_is_used_again() -> None:
    """One after the other, all calls need but one."""
    async with a_pool() as fake:
        assert [await fake.call() for _ in range(3)] == [1, 1, 1]


async def test_those_that_are_idle_for_a_minute_end() -> None:
    """And the next call has a new one."""
    async with a_pool() as fake:
        async with anyio.create_task_group() as calls:
            for seconds in (10, 30, 50):
                calls.start_soon(fake.call, seconds)
        for after_s, left in ((IDLE_S - 41, 3), (2, 2), (20, 1), (20, 0)):
            await anyio.sleep(after_s)
            assert len(fake.running) == len(fake.pool.pids) == left
        assert await fake.call() == 4


async def test_one_that_is_used_now_and_then_stays() -> None:
    """Its minute begins with its last call."""
    async with a_pool() as fake:
        for _ in range(10):
            assert await fake.call() == 1
            await anyio.sleep(IDLE_S - 1)


async def test_a_cancelled_call_ends_its_own_process_alone() -> None:
    """And lets the one that waits have its turn."""
    async with a_pool() as fake, anyio.create_task_group() as calls:
        for _ in range(MOST - 1):
            calls.start_soon(fake.call)
        await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(1):
            calls.start_soon(fake.call, 5)
            await fake.call()
        await anyio.sleep(0.1)
        assert fake.running == {1, 2, 3, 5}
    assert len(fake.got) == MOST


async def test_a_call_that_gives_up_its_wait_leaves_no_trace() -> None:
    """Others wait no longer for it."""
    async with a_pool() as fake, anyio.create_task_group() as calls:
        for _ in range(MOST):
            calls.start_soon(fake.call)
        await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(1):
            await fake.call()
        began_s = anyio.current_time()
        await fake.call(1)
        assert anyio.current_time() - began_s == pytest.approx(CALL_S)
    assert fake.made == MOST


async def test_a_registry_that_hangs_leaves_a_process_to_others() -> None:
    """Wherever there are others."""
    async with a_pool() as fake, anyio.create_task_group() as calls:
        await fake.call(1, "b")
        for _ in range(2 * MOST):
            calls.start_soon(fake.call, 900, "a")
        await anyio.sleep(1)
        with anyio.fail_after(3):
            await fake.call(1, "b")
            await fake.call(1, "c")
        calls.cancel_scope.cancel()


async def test_an_idle_process_of_another_registry_makes_room() -> None:
    """There are never more than there may be."""
    async with a_pool() as fake:
        async with anyio.create_task_group() as calls:
            for registry in "abcd":
                calls.start_soon(fake.call, 1, registry)
        assert fake.running == {1, 2, 3, 4}
        assert await fake.call(1, "e") == 5
        assert len(fake.running) == MOST
        assert 5 in fake.running


async def test_closing_ends_all() -> None:
    """Those that are busy, too."""
    async with a_pool() as fake, anyio.create_task_group() as calls:
        await fake.call(1)
        calls.start_soon(fake.call, 900)
        calls.start_soon(fake.call, 900)
        await anyio.sleep(1)
        await fake.pool.close()
        assert fake.running == set()
        calls.cancel_scope.cancel()
