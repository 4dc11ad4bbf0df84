"""One child process seen from the server process: start, warm, call, heartbeat, deadline, kill.

Whatever blocks, may fail, and isn't ours runs in one of these, where it can be killed. A child's
health is its pipe and its heartbeat, never `Process.is_alive()`, which turns false for living
children when the fork server ends.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
import structlog

from service.core.errors import ChildLostError, ChildStartError, ChildTimeoutError, ServiceError
from service.core.text import presentable
from service.processes.child_spec import ChildSpec
from service.processes.child_threads import ChildThreads
from service.processes.failed_start import read_warm, start_error
from service.processes.in_flight import InFlightCalls, SentCall
from service.processes.launch import guard
from service.processes.output import OutputReader
from service.processes.pipe import ChildPipe
from service.processes.process_start import encoded_start, start_process
from service.processes.protocol import (
    PING,
    WARM_ID,
    CountedReply,
    Counts,
    Nothing,
    UnreadableError,
    encode_request,
    read_reply,
    read_result,
)
from service.processes.started import Process, StartedProcess

T = TypeVar("T")

END_TIMEOUT_S = 5.0
_MIB = 2**20
_SIGKILL = 9

_log = structlog.get_logger("child")


class Child:
    """A running child process; answers one call after another.

    A call that times out or is cancelled leaves a child in an unknown state: it is killed.
    Made by `start_child`; must be ended by `end`.
    """

    def __init__(self, spec: ChildSpec, threads: ChildThreads) -> None:
        self.name = spec.name
        self.pid = 0
        self.python = ""
        """The version of the Python that runs it, once it is warm."""
        self.last_seen = time.monotonic()
        """Monotonic seconds at which it last gave a sign of life."""
        self.lost = asyncio.Event()
        """Set once its pipe is closed, which is when it can never answer again."""
        self.killed = False
        """Whether it was told to end, which it may not have done yet."""
        self.ended = asyncio.Event()
        """Set once nothing is left of it."""
        self.on_counts: Callable[[Counts], None] = _ignore
        """Gets what the child has counted since its last reply, where it has."""
        self.on_over_limit: Callable[[str], None] = _ignore
        """Gets told, in words, that it was ended for going over its limit of memory."""
        self.over_limit = ""
        """The same words; '' where it was not."""
        self.exit_code: int | None = None
        """How it ended: a status, or the negative number of a signal; None if unknown."""
        self._spec = spec
        self._log_fields = spec.log_fields
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._process: StartedProcess | None = None
        self._mark = guard.new_mark()
        self._pipe = ChildPipe(spec.name, self._deliver, self._lose)
        self._output = OutputReader(self._log_line)
        self._ids = WARM_ID
        self._calls = InFlightCalls(spec.most_calls, self._expire)
        self._chunked = InFlightCalls(1, self._expire)
        """The call between whose chunks others are answered."""
        self._output_thread: threading.Thread | None = None
        self._losses: list[ChildLostError] = []
        """What was raised for its end, before it was known how it ended."""

    @property
    def is_alive(self) -> bool:
        """Whether it can be called; it may be busy, or hang."""
        return not (self.killed or self.lost.is_set())

    @property
    def last_lines(self) -> tuple[str, ...]:
        """What it printed last, oldest first."""
        return tuple(self._output.last_lines)

    async def start(self, start_timeout_s: float) -> None:
        """Start the process and wait until it is warm.

        Raise ChildStartError where it can't be started, ends before that, or takes longer; the
        time that starting the fork server takes does not count. Raise EnvironmentRefusedError where
        another environment has not what it needs.
        """
        ends = (self._pipe.child_end, self._output.end)
        try:
            await start_process(
                self._spec, self._mark, start_timeout_s, self._threads, ends, self._take
            )
        except (OSError, EOFError) as error:
            raise ChildStartError(f"{self.name} could not be started: {error}") from error
        finally:
            # Also where the start was cancelled: its end is to be seen.
            if self._process is not None:
                self._open()
                if self._spec.is_of_own_environment:
                    self._pipe.send([encoded_start(self._spec, self._mark)], follows=False)
        warm = SentCall(WARM_ID, "start", start_timeout_s, self._loop.create_future())
        self._calls.add(warm)
        try:
            self.python = read_warm(await self._answer(warm)).python
        except (ServiceError, UnreadableError) as error:
            # What it printed last is known then.
            await self.end()
            raise start_error(
                *(self.name, error, self.exit_code, self.last_lines),
                of_own_environment=self._spec.is_of_own_environment,
            ) from error

    async def call(
        self,
        op: str,
        body: object,
        reply: type[T],
        *,
        timeout_s: float,
        tail: bytes = b"",
        chunked: bool = False,
    ) -> T:
        """Run an operation in the child and return its result.

        `tail` is sent as the last field of `body`; see `protocol.encode_request`. `chunked` is for
        one that answers other calls between its chunks. Raise the operation's own ServiceError,
        ChildRaisedError for any other exception there, ChildTimeoutError past `timeout_s` (the time
        that a call before this one takes does not count), ChildLostError where the process ends.
        """
        if not self.is_alive:
            raise self._loss()
        in_flight = self._chunked if chunked else self._calls
        if in_flight.is_full:
            raise RuntimeError(f"{self.name} has {len(in_flight.calls)} calls already")
        self._ids += 1
        # First what may raise: nobody waits for an answer then.
        request = encode_request(self._ids, op, body, tail)
        call = SentCall(self._ids, op, timeout_s, self._loop.create_future())
        self._pipe.send(request, follows=bool(self._calls.calls or self._chunked.calls))
        in_flight.add(call)
        answered = await self._answer(call)
        try:
            return read_result(answered, reply, self._spec.errors)
        except UnreadableError as error:
            raise self.give_up_on(f"its answer to {op} can't be read: {error}") from error

    def give_up_on(self, reason: str) -> ChildLostError:
        """End a child that answered what can't be, and return the error for its caller."""
        self.kill()
        _log.error("child answered what can't be", child=self.name, reason=reason)
        return self._loss(f"{self.name} was ended: {presentable(reason)}")

    async def check_memory(self) -> None:
        """Look now whether it holds more memory than it may. Raise ChildLostError if it does."""
        if self._spec.limits.memory_bytes:
            look = self._threads.memory.look
            await anyio.to_thread.run_sync(look, limiter=self._threads.joining)
        if self.over_limit:
            raise self._loss()

    def rename(self, name: str, log_fields: dict[str, str]) -> None:
        """Call it something else from now on, and tag what it prints by other fields."""
        self.name = self._pipe.name = name
        self._log_fields = log_fields

    async def ping(self, timeout_s: float) -> None:
        """Ask for a sign of life. Raise as `call` does."""
        await self.call(PING, Nothing(), Nothing, timeout_s=timeout_s)

    def kill(self) -> None:
        """Kill the process, and what it has started."""
        if self._process is None or self.lost.is_set():
            return
        self.killed = True
        self._process.kill()

    async def end(self) -> None:
        """Kill the process and wait until it, its pipes and its threads are gone."""
        self.kill()
        process = self._process
        if self.ended.is_set():
            return
        if process is None:
            self._close_unstarted()
            return
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(END_TIMEOUT_S) as scope:
                await self.lost.wait()
            if scope.cancelled_caught:
                _log.error("child did not end", child=self.name, pid=self.pid)
                return
            await anyio.to_thread.run_sync(self._join, process, limiter=self._threads.joining)
            self.ended.set()
            for loss in self._losses:
                self._complete(loss)

    @property
    def was_killed_from_outside(self) -> bool:
        """Whether somebody else killed it; known once it has ended."""
        return not self.killed and self.exit_code == -_SIGKILL

    def _take(self, process: Process) -> None:
        """Be the child that this process is."""
        self.pid = process.pid or 0
        self._process = StartedProcess(process, self.pid, self._mark)
        # Ours must be the child's last copies, or their closing would not be seen here.
        self._pipe.child_end.close()
        self._output.end.close()

    def _close_unstarted(self) -> None:
        """Close all pipes: it could not be started, or its start was given up before it began."""
        self.lost.set()
        self._pipe.close()
        with contextlib.suppress(OSError):
            self._output.end.close()
        self._output.close()
        self.ended.set()

    async def _answer(self, call: SentCall) -> CountedReply:
        """Wait for the reply; kill the child where it does not come or is not waited for."""
        try:
            return await call.answer
        except asyncio.CancelledError:
            self.kill()
            raise

    def _expire(self, call: SentCall) -> None:
        if not call.answer.done():
            # Killed first: what sees the error may rely on the process being on its way out.
            self.kill()
            call.answer.set_exception(
                ChildTimeoutError(
                    f"{self.name} gave no answer to {call.op} within {call.timeout_s:.3g} s"
                )
            )

    def _deliver(self, frame: bytes) -> None:
        self.last_seen = time.monotonic()
        try:
            reply = read_reply(frame)
        except UnreadableError as error:
            _log.error("child sent what is no reply", child=self.name, reason=str(error))
            self.kill()
            return
        if self._calls.answer(reply) or self._chunked.answer(reply) or self.killed:
            if reply.counts:
                self.on_counts(reply.counts)
            return
        # Nothing was asked that this could answer.
        _log.error("child answered what was not asked", child=self.name)
        self.kill()

    def _open(self) -> None:
        """Begin to read what it says, and have the end of the process itself be told.

        What it has started may hold its pipe open.
        """
        self._output_thread = threading.Thread(
            target=self._output.read_lines, name=f"{self.name}-output", daemon=True
        )
        self._output_thread.start()
        self._pipe.open()
        if most := self._spec.limits.memory_bytes:
            self._threads.memory.add(self.pid, self._mark, most, self._tell_memory)
        if self._process is not None and (pidfd := self._process.pidfd) is not None:
            with contextlib.suppress(NotImplementedError):
                self._loop.add_reader(pidfd, self._note_end, pidfd)

    def _note_end(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        self._pipe.finish()

    def _tell_memory(self, held_bytes: int) -> None:
        """Have the event loop end it. Called in another thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so will the child
            self._loop.call_soon_threadsafe(self._end_over_memory, held_bytes)

    def _end_over_memory(self, held_bytes: int) -> None:
        if not self.is_alive:
            return
        held, most = held_bytes / _MIB, self._spec.limits.memory_bytes / _MIB
        self.over_limit = (
            f"it held {held:,.0f} MiB of memory, and WORKER_LIMITS allows {most:,.0f} MiB"
        )
        _log.error("child ended", child=self.name, reason=self.over_limit, **self._log_fields)
        self.kill()
        self.on_over_limit(self.over_limit)

    def _lose(self) -> None:
        if self._spec.limits.memory_bytes:
            self._threads.memory.remove(self.pid)
        if self._process is not None:
            if self._process.pidfd is not None:
                with contextlib.suppress(NotImplementedError):
                    self._loop.remove_reader(self._process.pidfd)
            # What closed its pipe without ending is of no use.
            self._process.kill()
        self.lost.set()
        self._calls.fail(self._loss)
        self._chunked.fail(self._loss)

    def _loss(self, message: str = "") -> ChildLostError:
        """Return what is raised for its end, which is complete once that has come."""
        if self.over_limit:
            message = f"{self.name} was ended: {self.over_limit}"
        loss = ChildLostError(message or f"{self.name} ended")
        loss.over_limit = self.over_limit
        loss.ended = self.ended
        self._losses.append(loss)
        self._complete(loss)
        return loss

    def _complete(self, loss: ChildLostError) -> None:
        # Both are known late: what it printed may be read after its end was seen.
        loss.last_lines = self.last_lines
        loss.killed_from_outside = self.was_killed_from_outside

    def _join(self, process: StartedProcess) -> None:
        self.exit_code, left = process.end(END_TIMEOUT_S)
        if left:
            _log.error("what a child has started did not end", child=self.name, processes=left)
        if self._output_thread is not None:
            self._output_thread.join(END_TIMEOUT_S)
        self._pipe.close()
        process.close()

    def _log_line(self, line: str) -> None:
        _log.info(line, child=self.name, **self._log_fields)


async def start_child(spec: ChildSpec, threads: ChildThreads, start_timeout_s: float) -> Child:
    """Start a child and wait until it is warm; nothing of it is left where that fails."""
    child = Child(spec, threads)
    try:
        await child.start(start_timeout_s)
    except BaseException:
        await child.end()
        raise
    _log.info("child started", child=child.name, pid=child.pid, **spec.log_fields)
    return child


def _ignore(_: object) -> None:
    """Do nothing."""
