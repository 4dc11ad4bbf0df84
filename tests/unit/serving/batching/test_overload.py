"""More requests than a model can answer: the batcher over a virtual minute.

Requests come at a rate, whatever is answered. On a clock that jumps, and a seed that is fixed.
"""

import asyncio
import random
from collections import Counter
from typing import Any

import anyio
import pytest

from service.contracts.contract import Call
from service.core.errors import OverloadedError, QueueTimeoutError, ServiceError
from service.serving.batching.batcher import BatchSettings
from service.workers.messages import RawRequest, Timing
from tests.support.batchers import a_batcher
from tests.support.fake_workers import FakeWorkers, a_call
from tests.support.virtual_time import VirtualTimeLoop

LIMIT_S = 5.0
LOAD_S = 60.0
SOON_S = 0.05
MAX_ROWS = 4096


class Seen:
    """What became of the requests of a load, and how long each took."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.answered = 0
        """Within the limit."""
        self.refused_s: list[float] = []
        self.queued_most = 0

    def note(self, error: ServiceError | None, took_s: float) -> None:
        """Count an answer or an error."""
        self.outcomes["" if error is None else type(error).__name__] += 1
        self.answered += error is None and took_s <= LIMIT_S
        if isinstance(error, OverloadedError):
            self.refused_s.append(took_s)


def a_load(
    workers: FakeWorkers,
    rate: float,
    payload: Call | RawRequest,
    *,
    row_wise: bool = True,
    max_rows: int = MAX_ROWS,
    is_known: bool = True,
    **limits: int,
) -> Seen:
    """Send a payload at a rate for a minute, and one request a moment after."""
    seen = Seen()

    async def main() -> None:
        settings = BatchSettings(max_rows, 0.01, LIMIT_S, **limits)
        batcher = a_batcher(workers, settings, row_wise=row_wise)
        if is_known:
            # What the gates tell of a version.
            took_ms = ((rows, 1_000 * (workers.takes_s + workers.row_s * rows)) for rows in (1, 64))
            batcher.learn([Timing(rows, ms, runs=5) for rows, ms in took_ms])
        rng = random.Random(16)
        loop = asyncio.get_running_loop()
        body_bytes = len(payload.body) if isinstance(payload, RawRequest) else 1_000

        async def ask() -> None:
            began, error = loop.time(), None
            try:
                await batcher.submit(payload, body_bytes)
            except ServiceError as raised:
                error = raised
            seen.note(error, loop.time() - began)
            seen.queued_most = max(seen.queued_most, batcher.waiting)

        async with anyio.create_task_group() as host:
            host.start_soon(batcher.run)
            async with anyio.create_task_group() as callers:
                while loop.time() < LOAD_S:
                    callers.start_soon(ask)
                    await anyio.sleep(rng.expovariate(rate))
                await anyio.sleep(2.0)
                began = loop.time()
                await batcher.submit(payload, body_bytes)
                assert loop.time() - began < LIMIT_S / 2
            host.cancel_scope.cancel()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    return seen


HUNDRED = a_call(*map(float, range(1, 101)))
CASES = [
    pytest.param({"takes_s": 0.1}, a_call(1.0), {"row_wise": False}, 10.0, id="alone"),
    pytest.param({"takes_s": 0.1}, a_call(1.0), {"max_rows": 4}, 40.0, id="merged"),
    pytest.param({"takes_s": 0.0, "row_s": 0.005}, HUNDRED, {}, 2.0, id="rows"),
    # Batches may have 166 rows, so that no second request fits.
    pytest.param({"takes_s": 0.0, "row_s": 0.003}, HUNDRED, {}, 1 / 0.3, id="one a batch"),
    # Batches may have 357 rows, so that no fourth request fits.
    pytest.param({"takes_s": 0.0, "row_s": 0.0014}, HUNDRED, {}, 1 / 0.14, id="three a batch"),
    pytest.param({"takes_s": 0.1}, a_call(1.0), {"max_rows": 4, "is_known": False}, 40.0, id="new"),
    pytest.param({"takes_s": 0.5}, RawRequest(body=bytes(2_000)), {}, 2.0, id="bodies"),
]


@pytest.mark.parametrize(("factor", "count"), [(1.2, 1), (3.0, 1), (10.0, 1), (3.0, 3)])
@pytest.mark.parametrize(("costs", "payload", "how", "capacity"), CASES)
def test_what_a_model_can_do_it_does_however_much_is_asked(
    costs: dict[str, Any],
    payload: Call | RawRequest,
    how: dict[str, Any],
    capacity: float,
    factor: float,
    count: int,
) -> None:
    """Nine tenths of its capacity are answered in time, the others soon refused; none is lost."""
    workers = FakeWorkers(count, **costs)
    seen = a_load(workers, factor * capacity * count, payload, **how)
    assert seen.answered >= 0.9 * capacity * count * LOAD_S, seen.outcomes
    late = [took_s for took_s in seen.refused_s if took_s > SOON_S]
    assert len(late) <= 0.01 * len(seen.refused_s), (len(late), len(seen.refused_s))
    assert seen.outcomes[QueueTimeoutError.__name__] <= 0.02 * seen.outcomes.total(), seen.outcomes
    assert workers.lost == 0


@pytest.mark.parametrize("row_wise", [True, False])
def test_callers_whose_wait_fits_the_limit_are_never_refused(row_wise: bool) -> None:  # noqa: FBT001
    """However many they are: each sends its next request when the last one is answered."""
    clients, answered = 64, Counter[str]()

    async def main() -> None:
        workers = FakeWorkers(takes_s=0.06)
        settings = BatchSettings(MAX_ROWS, 0.01, LIMIT_S)
        batcher = a_batcher(workers, settings, row_wise=row_wise)
        loop = asyncio.get_running_loop()

        async def go_on() -> None:
            while loop.time() < LOAD_S:
                try:
                    await batcher.submit(a_call(1.0), 1_000)
                except ServiceError as error:
                    answered[type(error).__name__] += 1
                answered[""] += 1

        async with anyio.create_task_group() as host:
            host.start_soon(batcher.run)
            async with anyio.create_task_group() as callers:
                for _ in range(clients):
                    callers.start_soon(go_on)
            host.cancel_scope.cancel()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert set(answered) == {""}
    assert answered[""] >= 0.9 * LOAD_S / 0.06


def test_a_slow_spell_is_over_when_it_is_over() -> None:
    """What was learnt in it refuses nobody ten runs later."""
    workers = FakeWorkers(takes_s=0.1)

    async def main() -> list[str]:
        settings = BatchSettings(MAX_ROWS, 0.01, LIMIT_S)
        batcher = a_batcher(workers, settings, row_wise=False)
        late: list[str] = []

        async def ask() -> None:
            asked_s = asyncio.get_running_loop().time()
            try:
                await batcher.submit(a_call(1.0), 1_000)
            except ServiceError as error:
                late.append(f"{asked_s:.1f} {type(error).__name__}")

        async with anyio.create_task_group() as host:
            host.start_soon(batcher.run)
            async with anyio.create_task_group() as callers:
                for tenth in range(600):
                    workers.takes_s = 3.0 if 100 <= tenth < 200 else 0.05
                    callers.start_soon(ask)
                    await anyio.sleep(0.1)
            host.cancel_scope.cancel()
        return late

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        late = runner.run(main())
    assert late, "nothing was refused in the spell"
    assert all(10.0 <= float(told.split()[0]) < 20.0 + LIMIT_S for told in late), late
    assert workers.lost == 0
