"""Processes that talk to registries, each for one call at a time: a few, and none without need."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import anyio
import msgspec

from service.processes.child_spec import ChildSpec

T = TypeVar("T")

IDLE_S = 60.0
"""A process that was idle for longer ends, and gives its memory back."""


class Process(Protocol):
    """A registry process that calls are sent to; it is started when one comes."""

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""

    async def ask(self, op: str, request: object, reply: type[T], timeout_s: float) -> T:
        """Have it run an operation; a cancelled call ends the process."""

    async def close(self) -> None:
        """End the process."""


class _Member(msgspec.Struct, eq=False):
    """One process of the pool."""

    spec: ChildSpec
    process: Process
    idle_since_s: float = 0.0


class _Waiting(msgspec.Struct, eq=False):
    """A call that waits for its turn."""

    spec: ChildSpec
    granted: anyio.Event


class ProcessPool:
    """Runs each call in a process that has no other one, of at most `most` at a time.

    Where several kinds of processes are asked for, such as those of two registries, no kind gets
    all of them: one that hangs keeps no other one waiting. `run` ends those that are idle.
    """

    def __init__(
        self, most: int, make: Callable[[ChildSpec], Process], idle_s: float = IDLE_S
    ) -> None:
        self._most = most
        self._make = make
        self._idle_s = idle_s
        self._kinds: list[ChildSpec] = []
        self._idle: list[_Member] = []
        """Those that were used last stand last."""
        self._busy: list[_Member] = []
        self._queue: list[_Waiting] = []
        self._granted: list[ChildSpec] = []
        """One for each call that has its turn."""
        self._has_idle = anyio.Event()

    @property
    def pids(self) -> set[int]:
        """The processes that there are."""
        return {one.process.pid for one in self._idle + self._busy if one.process.pid is not None}

    async def ask(
        self, spec: ChildSpec, op: str, request: object, reply: type[T], timeout_s: float
    ) -> T:
        """Have a process of this kind run an operation; wait where `most` are busy.

        The wait does not count for `timeout_s`. Raise what the process raises; a cancelled
        call ends it.
        """
        async with self._turn(spec), self._member(spec) as process:
            return await process.ask(op, request, reply, timeout_s)

    async def run(self) -> None:
        """End processes that are idle, until cancelled."""
        while True:
            await self._has_idle.wait()
            if not self._idle:
                self._has_idle = anyio.Event()
                continue
            await anyio.sleep_until(self._idle[0].idle_since_s + self._idle_s)
            while self._idle and anyio.current_time() >= self._idle[0].idle_since_s + self._idle_s:
                await self._idle.pop(0).process.close()

    async def close(self) -> None:
        """End every process."""
        ended, self._idle = self._idle + self._busy, []
        async with anyio.create_task_group() as ends:
            for one in ended:
                ends.start_soon(one.process.close)

    @asynccontextmanager
    async def _turn(self, spec: ChildSpec) -> AsyncIterator[None]:
        """Wait until another call may run; those of one kind run in the order of their asking."""
        if spec not in self._kinds:
            self._kinds.append(spec)
        waiting = _Waiting(spec, anyio.Event())
        self._queue.append(waiting)
        self._grant()
        try:
            await waiting.granted.wait()
            yield
        finally:
            if waiting.granted.is_set():
                self._granted.remove(spec)
            else:
                self._queue.remove(waiting)
            self._grant()

    def _grant(self) -> None:
        for waiting in tuple(self._queue):
            if self._may_run(waiting.spec):
                self._queue.remove(waiting)
                self._granted.append(waiting.spec)
                waiting.granted.set()

    def _may_run(self, spec: ChildSpec) -> bool:
        own = self._most - 1 if len(self._kinds) > 1 and self._most > 1 else self._most
        return len(self._granted) < self._most and self._granted.count(spec) < own

    @asynccontextmanager
    async def _member(self, spec: ChildSpec) -> AsyncIterator[Process]:
        """Take an idle process of this kind, or a new one in the place of one of another kind."""
        fitting = [one for one in self._idle if one.spec == spec]
        if fitting:
            member = fitting[-1]
            self._idle.remove(member)
        else:
            member = _Member(spec, self._make(spec))
        self._busy.append(member)
        try:
            if len(self._busy) + len(self._idle) > self._most:
                await self._idle.pop(0).process.close()
            yield member.process
        finally:
            self._busy.remove(member)
            # Without one where its call was given up.
            if member.process.pid is not None:
                member.idle_since_s = anyio.current_time()
                self._idle.append(member)
                self._has_idle.set()
