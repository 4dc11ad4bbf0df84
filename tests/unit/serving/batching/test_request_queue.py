import asyncio
import math
from typing import Any

import msgspec

from service.contracts.contract import Call, Filled
from service.serving.batching.request_queue import QueuedRequest, RequestQueue
from service.workers.messages import RawRequest
from tests.support.fake_workers import a_call


def queue_of(*payloads: Call | RawRequest) -> tuple[RequestQueue, list[QueuedRequest]]:
    """Return a queue of requests that came one after another, and them."""
    loop = asyncio.get_running_loop()
    queue = RequestQueue()
    items = [
        QueuedRequest(payload, loop.create_future(), float(at))
        for at, payload in enumerate(payloads)
    ]
    for item in items:
        queue.add(item)
    return queue, items


def taken(queue: RequestQueue, **how: Any) -> list[float]:
    """Take a batch and return when its requests came."""
    chosen = {"max_rows": 100, "enough_rows": math.inf, "merging": True, "bodies": True, **how}
    return [item.since for item in queue.take(**chosen)]


async def test_calls_go_together_and_bodies_alone_in_order_of_arrival() -> None:
    """A body that came first goes first."""
    queue, _ = queue_of(RawRequest(body=b"body"), a_call(1), RawRequest(body=b"another"), a_call(2))
    assert [taken(queue) for _ in range(4)] == [[0], [1, 3], [2], []]


async def test_only_calls_that_have_the_same_columns_go_together() -> None:
    """Whatever their params: the model's frame has the columns that were sent."""
    absent = bytes([Filled.ABSENT])
    for params in (None, {"k": 1}):
        full = a_call(1, params=params)
        queue, _ = queue_of(full, msgspec.structs.replace(full, filled=absent), full)
        assert [taken(queue) for _ in range(3)] == [[0, 2], [1], []]


async def test_a_body_that_may_not_go_holds_up_no_call() -> None:
    """It waits, and is still there."""
    queue, _ = queue_of(RawRequest(body=b"body"), a_call(1))
    assert taken(queue, bodies=False) == [1]
    assert taken(queue, bodies=False) == []
    assert len(queue) == 1
    assert taken(queue) == [0]


async def test_what_is_to_run_again_goes_first_and_alone() -> None:
    """Its batch has failed, and it has waited longest."""
    queue, _ = queue_of(a_call(1), a_call(2))
    failed, other = queue.take(enough_rows=math.inf, max_rows=100, merging=True, bodies=True)
    for item in (failed, other):
        item.again = True
        queue.add(item)
    queue.add(QueuedRequest(a_call(3), asyncio.get_running_loop().create_future(), 9.0))
    assert [taken(queue) for _ in range(3)] == [[0], [1], [9]]


async def test_what_has_gone_is_not_taken() -> None:
    """Whether a call, a body or one to run again."""
    queue, items = queue_of(a_call(1), RawRequest(body=b"body"), a_call(2))
    items[2].again = True
    for item in items:
        item.answer.cancel()
    assert len(queue) == 3
    assert not queue.has_live()
    assert taken(queue) == []
    assert len(queue) == 0


async def test_nothing_is_merged_where_nothing_may_be() -> None:
    """One call at a time."""
    queue, _ = queue_of(a_call(1), a_call(2))
    assert [taken(queue, merging=False) for _ in range(3)] == [[0], [1], []]


async def test_to_those_that_are_enough_none_is_added() -> None:
    """The rest waits for the next worker, and counts as waiting."""
    queue, items = queue_of(a_call(1), a_call(2), a_call(3), a_call(4))
    rows = items[0].rows
    assert queue.call_rows == 4 * rows
    assert taken(queue, enough_rows=1.5 * rows) == [0, 1]
    assert queue.call_rows == 2 * rows
    items[2].answer.cancel()
    assert taken(queue) == [3]
    assert queue.call_rows == 0
