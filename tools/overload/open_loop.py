"""The load generator: a process that sends requests at a rate, however they are answered.

`python -m tools.overload.open_loop` reads a Plan from its input and writes an Outcome. A request
goes out while fewer are under way than the plan allows; what is due beyond that is not sent.
"""

import asyncio
import random
import sys

import msgspec
import uvloop

from tools.overload.flight import Flight, Transport
from tools.overload.grpc_calls import GrpcCalls
from tools.overload.http_connections import HttpConnections
from tools.overload.plan import ANSWERED, REFUSED, Outcome, Plan

_TICK_S = 0.001
_SWEEP_S = 0.1
_PROBE_EVERY_S = 0.25
_PROBE_FOR_S = 8.0
_PROBE_SLACK = 2.0
"""A probe that takes at most so many times its usual time is as usual."""
_PROBE_SLACK_S = 0.05
_KEPT_LAGS = 100_000


class Run:
    """All requests of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.outcome = Outcome()
        self._loop = asyncio.get_running_loop()
        self._flying: dict[Flight, None] = {}
        """Requests under way, the oldest first."""
        self._transport: Transport = (
            HttpConnections(plan, self) if plan.path else GrpcCalls(plan, self)
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
        while self._flying or self._transport.opening:  # noqa: ASYNC110 - the sweep ends each of them
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
                self._send(due_s)
                due_s += rng.expovariate(self._plan.rate)
            if due_s >= end_s:
                return
            await asyncio.sleep(min(_TICK_S, due_s - now_s) if due_s > now_s else 0)

    async def _one_after_another(self) -> None:
        for _ in range(self._plan.connections):
            self._send(self._loop.time())
        await asyncio.sleep(self._plan.duration_s)

    async def _probes(self) -> None:
        """Send probes until one takes its usual time."""
        while self._loop.time() < self._ended_s + _PROBE_FOR_S:
            self._transport.send(self._loop.time(), is_probe=True)
            await asyncio.sleep(_PROBE_EVERY_S)
            if self.outcome.usual_after_s is not None:
                return

    def _send(self, due_s: float) -> None:
        if len(self._flying) + self._transport.opening < self._plan.connections:
            self._transport.send(due_s, is_probe=False)
        else:
            self.outcome.unsent += 1

    def note_sent(self, flight: Flight) -> None:
        """Count a request that goes out now."""
        self._flying[flight] = None
        self.outcome.sent += not flight.is_probe

    def note_answer(self, flight: Flight, status: str) -> None:
        """Count an answer, and send the next request where they go one after another."""
        if self._flying.pop(flight, 0) == 0:
            return
        now_s = self._loop.time()
        took_s = now_s - flight.due_s
        if flight.is_probe:
            self._note_probe(flight, status, took_s)
            return
        outcome = self.outcome
        outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        if status in ANSWERED:
            if took_s <= self._plan.limit_s:
                outcome.answered += 1
                outcome.answered_ms.append(took_s * 1000)
            else:
                outcome.late += 1
        elif status in REFUSED:
            outcome.refused_ms.append(took_s * 1000)
        if not self._plan.rate and not self._ended_s:
            self._send(now_s)

    def _note_probe(self, flight: Flight, status: str, took_s: float) -> None:
        if status not in ANSWERED or took_s > self._plan.limit_s:
            return
        outcome, sent_s = self.outcome, flight.due_s - self._ended_s
        if outcome.accepted_after_s is None or sent_s < outcome.accepted_after_s:
            outcome.accepted_after_s = sent_s
        usual = took_s <= self._plan.usual_s * _PROBE_SLACK + _PROBE_SLACK_S
        if usual and (outcome.usual_after_s is None or sent_s < outcome.usual_after_s):
            outcome.usual_after_s = sent_s

    def note_broken(self, flight: Flight) -> None:
        """Count a request whose connection ended without an answer."""
        if self._flying.pop(flight, 0) is None:
            self.outcome.broken += not flight.is_probe

    def note_unconnected(self, *, is_probe: bool) -> None:
        """Count a request that found no connection."""
        self.outcome.broken += not is_probe

    async def _sweep(self) -> None:
        """Give up requests whose limit is over."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            over_s = self._loop.time() - self._plan.limit_s - 2 * _SWEEP_S
            for flight in [one for one in self._flying if one.due_s < over_s]:
                del self._flying[flight]
                self.outcome.late += not flight.is_probe
                flight.give_up()


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    outcome = await Run(plan).go()
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    uvloop.run(_main())
