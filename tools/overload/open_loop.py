"""The load generator: a process that sends requests at a rate, however they are answered.

`python -m tools.overload.open_loop` reads a Plan from its input and writes an Outcome. It opens a
connection where no open one is free, up to the plan's number; what is due beyond that is not sent.
"""

import asyncio
import random
import sys
from typing import cast

import msgspec
import uvloop

from tools.overload.plan import Outcome, Plan

_TICK_S = 0.001
_SWEEP_S = 0.1
_PROBE_EVERY_S = 0.25
_PROBE_FOR_S = 8.0
_PROBE_SLACK = 2.0
"""A probe that takes at most so many times its usual time is as usual."""
_PROBE_SLACK_S = 0.05
_KEPT_LAGS = 100_000
_OK, _REFUSED = 200, 503


class Connection(asyncio.Protocol):
    """One connection, and the request on it."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._buffer = b""
        self._needed = 0
        self.transport: asyncio.Transport | None = None
        self.due_s = 0.0
        self.is_probe = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's is none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = self._buffer[:head_end].lower()
            at = head.index(b"content-length:") + 15
            end = head.find(b"\r\n", at)
            self._needed = head_end + 4 + int(head[at : end if end > 0 else None])
        if len(self._buffer) >= self._needed:
            status = int(self._buffer[9:12])
            self._buffer, self._needed = b"", 0
            self._run.note_answer(self, status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the run."""
        del exc
        self.transport = None
        self._run.note_lost(self)


class Run:
    """All requests of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.outcome = Outcome()
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._flying: dict[Connection, None] = {}
        """Connections with a request, the oldest first."""
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._request, self._probe = (
            b"POST /predict HTTP/1.1\r\nhost: %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
            % (plan.host.encode(), plan.content_type.encode(), len(body))
            + body
            for body in (plan.body, plan.probe)
        )
        self._ended_s = 0.0

    async def go(self) -> Outcome:
        """Send what is due, wait for what is under way, and return what became of all."""
        sweeping = asyncio.create_task(self._sweep())
        if self._plan.rate:
            await self._arrivals()
        else:
            await self._one_after_another()
        self._ended_s = self._loop.time()
        if self._plan.usual_s:
            await self._probes()
        while self._flying or self._opening:  # noqa: ASYNC110 - the sweep ends each of them
            await asyncio.sleep(_SWEEP_S)
        sweeping.cancel()
        for ordered in (
            self.outcome.refused_ms,
            self.outcome.answered_ms,
            self.outcome.lag_ms,
        ):
            ordered.sort()
        return self.outcome

    async def _arrivals(self) -> None:
        rng = random.Random(self._plan.seed)  # noqa: S311 - arrivals are no secret
        began_s = self._loop.time()
        end_s, due_s = began_s + self._plan.duration_s, began_s
        while True:
            now_s = self._loop.time()
            while due_s <= now_s and due_s < end_s:
                if len(self.outcome.lag_ms) < _KEPT_LAGS:
                    self.outcome.lag_ms.append((now_s - due_s) * 1000)
                self._send(due_s, is_probe=False)
                due_s += rng.expovariate(self._plan.rate)
            if due_s >= end_s:
                return
            await asyncio.sleep(min(_TICK_S, due_s - now_s) if due_s > now_s else 0)

    async def _one_after_another(self) -> None:
        for _ in range(self._plan.connections):
            self._send(self._loop.time(), is_probe=False)
        await asyncio.sleep(self._plan.duration_s)

    async def _probes(self) -> None:
        """Send probes until one takes its usual time."""
        while self._loop.time() < self._ended_s + _PROBE_FOR_S:
            self._send(self._loop.time(), is_probe=True)
            await asyncio.sleep(_PROBE_EVERY_S)
            if self.outcome.usual_after_s is not None:
                return

    def _send(self, due_s: float, *, is_probe: bool) -> None:
        if self._idle:
            self._put(self._idle.pop(), due_s, is_probe=is_probe)
        elif len(self._flying) + self._opening < self._plan.connections or is_probe:
            self._opening += 1
            task = asyncio.create_task(self._open(due_s, is_probe=is_probe))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.outcome.unsent += 1

    async def _open(self, due_s: float, *, is_probe: bool) -> None:
        try:
            async with asyncio.timeout(self._plan.limit_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self), self._plan.host, self._plan.port
                )
        except (OSError, TimeoutError):
            self.outcome.broken += not is_probe
        else:
            self._put(connection, due_s, is_probe=is_probe)
        finally:
            self._opening -= 1

    def _put(self, connection: Connection, due_s: float, *, is_probe: bool) -> None:
        if connection.transport is None:
            self.outcome.broken += not is_probe
            return
        connection.due_s, connection.is_probe = due_s, is_probe
        self._flying[connection] = None
        self.outcome.sent += not is_probe
        connection.transport.write(self._probe if is_probe else self._request)

    def note_answer(self, connection: Connection, status: int) -> None:
        """Count an answer, and let the connection take the next request."""
        now_s = self._loop.time()
        took_s = now_s - connection.due_s
        if self._flying.pop(connection, 0) == 0:
            return
        self._idle.append(connection)
        if connection.is_probe:
            self._note_probe(connection, status, took_s)
            return
        outcome = self.outcome
        outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        if status == _OK:
            if took_s <= self._plan.limit_s:
                outcome.answered += 1
                outcome.answered_ms.append(took_s * 1000)
            else:
                outcome.late += 1
        elif status == _REFUSED:
            outcome.refused_ms.append(took_s * 1000)
        if not self._plan.rate and not self._ended_s:
            self._send(now_s, is_probe=False)

    def _note_probe(self, connection: Connection, status: int, took_s: float) -> None:
        if status != _OK or took_s > self._plan.limit_s:
            return
        outcome, sent_s = self.outcome, connection.due_s - self._ended_s
        if outcome.accepted_after_s is None or sent_s < outcome.accepted_after_s:
            outcome.accepted_after_s = sent_s
        usual = took_s <= self._plan.usual_s * _PROBE_SLACK + _PROBE_SLACK_S
        if usual and (outcome.usual_after_s is None or sent_s < outcome.usual_after_s):
            outcome.usual_after_s = sent_s

    def note_lost(self, connection: Connection) -> None:
        """Count a connection that ended with a request on it."""
        if connection in self._flying:
            del self._flying[connection]
            self.outcome.broken += not connection.is_probe
        elif connection in self._idle:
            self._idle.remove(connection)

    async def _sweep(self) -> None:
        """Give up on requests whose limit is over: hang up, as callers do."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            over_s = self._loop.time() - self._plan.limit_s - 2 * _SWEEP_S
            for connection in [c for c in self._flying if c.due_s < over_s]:
                del self._flying[connection]
                self.outcome.late += not connection.is_probe
                if connection.transport is not None:
                    connection.transport.abort()


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    outcome = await Run(plan).go()
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    uvloop.run(_main())
