"""What is noted of a request that is traced, whatever becomes of it."""

import asyncio
import json
from typing import Any

import pytest

from service.core.errors import ModelFailedError, OverloadedError, ServiceError
from service.core.protocols import WireProtocol
from service.telemetry.tracing.request_trace import CURRENT, RequestTrace
from service.workers.messages import TracedCall
from tests.support.fake_workers import RAISING, FakeWorkers
from tests.support.served_version import VERSION, serving


def a_body(*rows: float) -> bytes:
    """Return a request's body."""
    return json.dumps({"instances": [{"a": row} for row in rows]}).encode()


async def asked(deployed: Any, trace: RequestTrace | None, *rows: float) -> object:
    """Ask with or without a trace; return the answer, or what was raised."""
    CURRENT.set(trace)
    try:
        return await deployed.answer(a_body(*rows))
    except ServiceError as error:
        return error


def steps_of(trace: RequestTrace) -> list[str]:
    """Return the names of its steps, in order."""
    return [step.name for step in trace.steps]


async def test_each_step_follows_the_one_before() -> None:
    """And the worker gets the context of the step in which it answers."""
    workers = FakeWorkers(takes_s=0.01)
    trace = RequestTrace(7, 0, "a=1")
    async with serving(workers) as (deployed, _):
        await asked(deployed, trace, 1.0, 2.0)
    assert steps_of(trace) == ["decode", "queue", "predict", "encode"]
    times = [at for step in trace.steps for at in (step.began_s, step.ended_s)]
    assert times == sorted(times)
    assert (trace.version, trace.rows, trace.error) == (VERSION, 2, "")
    predict = trace.steps[2]
    assert predict.ended_s - predict.began_s >= 0.005
    assert predict.attributes["hotswap.batch.rows"] == 2
    (call,) = workers.calls
    assert isinstance(call, TracedCall)
    assert call.trace is not None
    assert call.trace.parent == f"00-{7:032x}-{predict.span_id:016x}-01"
    assert call.trace.state == "a=1"


async def test_a_request_without_a_trace_sends_none() -> None:
    """Also after one that had."""
    workers = FakeWorkers()
    async with serving(workers) as (deployed, _):
        await asked(deployed, RequestTrace(7, 0, ""), 1.0)
        await asked(deployed, None, 1.0)
    assert [type(call) is TracedCall for call in workers.calls] == [True, False]


async def test_a_batch_that_fails_shows_each_run() -> None:
    """The culprit's error is in its last run; its neighbour has two, and an answer."""
    workers = FakeWorkers(takes_s=0.02)
    bad, good = RequestTrace(1, 0, ""), RequestTrace(2, 0, "")
    async with serving(workers) as (deployed, _), asyncio.TaskGroup() as callers:
        # It holds the worker until both others wait.
        callers.create_task(asked(deployed, None, 1.0))
        failed = callers.create_task(asked(deployed, bad, RAISING))
        callers.create_task(asked(deployed, good, 1.0))
    assert isinstance(failed.result(), ModelFailedError)
    runs = ["queue", "predict", "queue", "predict"]
    assert steps_of(good) == ["decode", *runs, "encode"]
    assert steps_of(bad) == ["decode", *runs]
    assert (bad.error, bad.steps[-1].error, good.error) == ("model-failed", "model-failed", "")
    first, other = bad.steps[2], good.steps[2]
    assert (first.links, other.links) == (((2, other.span_id),), ((1, first.span_id),))
    assert bad.steps[4].links == ()


async def test_what_is_refused_by_its_head_says_so() -> None:
    """Before there is any step."""
    trace = RequestTrace(1, 0, "")
    async with serving(FakeWorkers()) as (deployed, model):
        CURRENT.set(trace)
        refusal = OverloadedError("it is too much")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.batcher, "refusal", lambda *_, **__: refusal)
            assert deployed.plane.refusal(deployed, WireProtocol.NATIVE, 10) is refusal
    assert (trace.version, trace.error, trace.steps) == (VERSION, refusal.code, [])
