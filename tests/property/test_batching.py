"""Neighbours in a batch never harm each other: invariant 11, whatever they do and in what order.

The real batcher over workers without processes, on a clock that jumps. There is one bound, which
the batcher's shares of a request's limit imply: a request that hangs takes a third of the limit
with its batch and a tenth alone, or three quarters if it runs alone while others wait. Beside
several such, good requests may run out of their own time, and are told so. One in a mix is always
survived, and so are up to four that share one batch.
"""

import asyncio
from collections import Counter

import anyio
from hypothesis import event, given, settings
from hypothesis import strategies as st

from service.contracts.contract import Call
from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
)
from service.serving.batching.batch_cost import BatchCost
from service.serving.batching.batcher import BatchSettings
from service.workers.messages import RawReply, RawRequest
from tests.support.batchers import a_batcher
from tests.support.fake_workers import (
    HANGING,
    KILLING,
    KILLING_BODY,
    NAN_ROW,
    RAISING,
    FakeWorkers,
    a_call,
    answers_in,
    right_answers,
)
from tests.support.virtual_time import VirtualTimeLoop

Got = list[float] | RawReply | ServiceError | None

LIMIT_S = 30.0
TAKES_S = 0.01
MAX_ROWS = 8
COSTS = ((TAKES_S, 0.0), (0.0005, 0.001))
"""Of a call and of each row: with the second, two rows are enough for a batch of their own."""

OWN_ERROR: dict[float, type[ServiceError]] = {
    RAISING: ModelFailedError,
    KILLING: ChildLostError,
    HANGING: RequestTimeoutError,
    NAN_ROW: NonFinitePredictionError,
}


class Asked:
    """One request of a mix."""

    def __init__(
        self,
        rows: int,
        culprit: float | None,
        at_s: float,
        leaves_after_s: float | None,
        params: int,
        *,
        is_body: bool = False,
    ) -> None:
        self.rows = rows
        self.culprit = culprit
        self.at_s = at_s
        self.leaves_after_s = leaves_after_s
        self.params = params
        self.is_body = is_body
        if is_body and culprit is not None:
            # Of what rows do to a model, bodies have but that.
            self.culprit = KILLING

    def payload(self, index: int) -> Call | RawRequest:
        """Return what is submitted for the request of this number."""
        if self.is_body:
            return RawRequest(body=KILLING_BODY if self.culprit else b"%d" % index)
        rows = [1000.0 * (index + 1) + row for row in range(self.rows)]
        if self.culprit is not None:
            rows[-1] = self.culprit
        return a_call(*rows, params={"p": self.params})

    def right(self, index: int) -> list[float] | RawReply:
        """Return what a good one is answered."""
        if self.is_body:
            return RawReply(1, b"%d" % index, None)
        return right_answers([1000.0 * (index + 1) + row for row in range(self.rows)])

    def __repr__(self) -> str:
        """Show it as Hypothesis would call it."""
        culprit, leaves = self.culprit, self.leaves_after_s
        kind = f", is_body={self.is_body}"
        return f"Asked({self.rows}, {culprit}, {self.at_s}, {leaves}, {self.params}{kind})"


MOMENTS = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.005, 0.01, 0.015, 0.1])
LEAVES = st.sampled_from([0.0, 0.002, 0.012, 0.03, 5.0])


def requests(culprits: st.SearchStrategy[float | None]) -> st.SearchStrategy[Asked]:
    """Return requests of which some do harm, and some go away before they are answered."""
    return st.builds(
        Asked,
        *(st.integers(1, 4), culprits, MOMENTS, st.none() | LEAVES, st.integers(0, 1)),
        is_body=st.sampled_from([False] * 4 + [True]),
    )


HARMLESS_IN_TIME = st.sampled_from([None] * 9 + [RAISING, KILLING, NAN_ROW])
MIXES = st.tuples(
    st.lists(requests(HARMLESS_IN_TIME), max_size=10),
    st.lists(requests(st.just(HANGING)), max_size=1),
).flatmap(lambda parts: st.permutations(parts[0] + parts[1]))


async def _submit_all(asked: list[Asked], workers: FakeWorkers, *, row_wise: bool) -> list[Got]:
    """Send every request at its moment; return answers and errors, None where the caller went."""
    settings = BatchSettings(MAX_ROWS, 0.002, LIMIT_S)
    cost = BatchCost()
    for rows in (1, MAX_ROWS) * 3:
        # As if it had run: what is large enough then may follow what is running.
        took_s = workers.takes_s + workers.row_s * rows
        cost.note_rows(rows, took_s, asyncio.get_running_loop().time())
    batcher = a_batcher(workers, settings, row_wise=row_wise, cost=cost)
    got: list[Got] = [None] * len(asked)

    async def ask(index: int, one: Asked) -> None:
        await anyio.sleep(one.at_s)
        with anyio.move_on_after(one.leaves_after_s):
            try:
                answer = await batcher.submit(one.payload(index))
            except ServiceError as error:
                got[index] = error
            else:
                got[index] = answer if isinstance(answer, RawReply) else answers_in(answer)

    async with anyio.create_task_group() as host:
        host.start_soon(batcher.run)
        async with anyio.create_task_group() as callers:
            for index, one in enumerate(asked):
                callers.start_soon(ask, index, one)
        # Whatever went on for callers that have gone ends, too.
        await anyio.sleep(10 * LIMIT_S)
        assert batcher.waiting == 0, "something is left waiting"
        assert batcher.unanswered == 0, "somebody is left without an answer"
        host.cancel_scope.cancel()
    return got


def _check(asked: list[Asked], got: list[Got]) -> None:
    """Each good request has exactly its own answer, each culprit its own error."""
    for index, (one, answer) in enumerate(zip(asked, got, strict=True)):
        if answer is None:
            assert one.leaves_after_s is not None, f"request {index} was not answered"
        elif one.culprit is None:
            assert answer == one.right(index), f"good request {index} was harmed"
        else:
            assert type(answer) is OWN_ERROR[one.culprit], f"culprit {index} was told another's"


def _check_batches(asked: list[Asked], workers: FakeWorkers, *, row_wise: bool) -> None:
    """No call held more than fits, or mixed what may not be mixed."""
    for rows, params in zip(workers.seen, workers.params, strict=True):
        # A culprit's last row tells no owner.
        owners = {int(row // 1000) - 1 for row in rows if row > 0}
        assert len(rows) <= MAX_ROWS
        assert all(params == {"p": asked[owner].params} for owner in owners), "params were mixed"
        if not row_wise:
            assert len(owners) <= 1
            assert sum(row < 0 for row in rows) <= 1


@settings(max_examples=500, deadline=None)
@given(asked=MIXES, count=st.integers(1, 2), row_wise=st.booleans(), costs=st.sampled_from(COSTS))
def test_neighbours_in_a_batch_never_harm_each_other(
    asked: list[Asked], count: int, costs: tuple[float, float], *, row_wise: bool
) -> None:
    """Good, raising, killing, hanging and cancelled requests in any mix, with 1 or 2 workers."""
    takes_s, row_s = costs
    workers = FakeWorkers(count, takes_s=takes_s, row_s=row_s)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        got = runner.run(_submit_all(asked, workers, row_wise=row_wise))
    _check(asked, got)
    _check_batches(asked, workers, row_wise=row_wise)
    for name, often in Counter(type(one).__name__ for one in got).items():
        event(f"{name}: {min(often, 3)}")
    event(f"most calls at a worker: {workers.most_calls}")
    event(f"bodies in chunks: {min(len(workers.chunked), 3)}")


@settings(max_examples=100, deadline=None)
@given(
    culprits=st.lists(st.sampled_from([None, HANGING]), max_size=MAX_ROWS).filter(
        lambda culprits: culprits.count(HANGING) <= 4
    ),
    count=st.integers(1, 2),
)
def test_several_that_hang_in_one_batch_share_one_limit(
    culprits: list[float | None], count: int
) -> None:
    """A third of the limit for their batch and a tenth for each: four leave time for the others."""
    workers = FakeWorkers(count, takes_s=TAKES_S)
    asked = [Asked(1, culprit, 0.0, None, 0) for culprit in culprits]
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        got = runner.run(_submit_all(asked, workers, row_wise=True))
    _check(asked, got)
