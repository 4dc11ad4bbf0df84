"""How a batch's answers reach those that wait for them."""

import asyncio
from itertools import groupby

import anyio
import numpy as np
import pytest

from service.contracts.answer_size import LOOP_VALUES
from service.contracts.contract import Call, Predictions
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batch_runs import BatchRuns
from service.serving.batching.request_queue import QueuedRequest, RequestQueue, Share
from service.serving.batching.run import Run
from service.workers.messages import RawReply, RawRequest
from service.workers.occupancy import Occupancy, Work
from tests.support.fake_workers import a_call

ALMOST = LOOP_VALUES - 100
"""A column counts for something by itself."""


class WideWorker:
    """Answers each row by so many numbers."""

    is_alive = True

    def __init__(self, width: int) -> None:
        self.occupancy = Occupancy()
        self._width = width

    async def predict(self, call: Call, timeout_s: float) -> Predictions:
        """Answer by zeros."""
        del timeout_s
        column = np.zeros((call.rows, self._width)).tobytes()
        return Predictions(call.rows, ["y"], [column], ["float64"], [[self._width]], [])

    async def predict_raw(self, request: RawRequest, timeout_s: float) -> RawReply:
        """Take no bodies."""
        raise NotImplementedError

    async def ping(self, timeout_s: float) -> None:
        """Give a sign of life."""

    def kill(self) -> None:
        """Stay."""


@pytest.mark.parametrize(
    ("width", "together"),
    [
        (ALMOST // 8, [8]),
        (ALMOST // 2, [2, 2, 2, 2]),
        (ALMOST // 3, [3, 3, 2]),
        (LOOP_VALUES + 1, [1] * 8),
    ],
)
async def test_no_step_of_the_event_loop_answers_more_than_it_may_write(
    width: int, together: list[int]
) -> None:
    """Each that is answered writes its answer in the step that follows."""
    loop, steps, answered = asyncio.get_running_loop(), 0, list[int]()

    async def count_steps() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    runs: BatchRuns[WideWorker] = BatchRuns(RequestQueue(), BatchCost(), 5.0)
    items = [QueuedRequest(a_call(1.0), loop.create_future(), loop.time()) for _ in range(8)]
    for item in items:
        item.answer.add_done_callback(lambda _: answered.append(steps))
    worker = WideWorker(width)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_steps)
        run = Run(worker, items, Work.CALL, 0.0)
        runs.add(run)
        await runs.answer(run)
        await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
    assert [len(list(step)) for _, step in groupby(answered)] == together
    shares = [item.answer.result() for item in items]
    assert all(isinstance(share, Share) for share in shares)
    assert {getattr(share, "is_wide", None) for share in shares} == {width > LOOP_VALUES}
