"""A call of a worker for several requests, of which some are traced."""

import time
from collections.abc import Sequence
from typing import Any

from service.core.trace_context import TraceContext, traceparent
from service.telemetry.tracing.request_trace import PREDICT, RequestTrace, Step, new_span_id


class BatchTrace:
    """The step `predict` of each traced request of a batch.

    That of the first is the parent of what the model traces itself, since a span has one parent.
    It has links to those of the others, and they to it.
    """

    __slots__ = ("_attributes", "_steps", "_traces")

    def __init__(self, traces: Sequence[RequestTrace], requests: int, rows: int) -> None:
        self._traces = traces
        self._attributes: dict[str, Any] = {"hotswap.batch.requests": requests}
        if rows:
            self._attributes["hotswap.batch.rows"] = rows
        self._steps = [
            Step(PREDICT, 0.0, span_id=new_span_id(), attributes=self._attributes) for _ in traces
        ]
        first, *others = self._steps
        if others:
            ids = [
                (trace.trace_id, step.span_id)
                for trace, step in zip(traces, self._steps, strict=True)
            ]
            first.links = tuple(ids[1:])
            for step in others:
                step.links = (ids[0],)

    @property
    def context(self) -> TraceContext:
        """What the model's own spans are children of."""
        first = self._traces[0]
        return TraceContext(traceparent(first.trace_id, self._steps[0].span_id), first.state)

    def begin(self) -> None:
        """Note that the worker begins: none of them waits any more."""
        now_s = time.perf_counter()
        for trace, step in zip(self._traces, self._steps, strict=True):
            if trace.ended_s:
                # It was not waited for.
                continue
            trace.ended(now_s)
            step.began_s = now_s
            trace.steps.append(step)

    def took(self, worker_s: float) -> None:
        """Note what the call took inside the worker. Before any of them is answered."""
        self._attributes["hotswap.worker.seconds"] = worker_s

    def end(self) -> None:
        """Note that the worker is done with it, where its requests have not seen that first."""
        now_s = time.perf_counter()
        for step in self._steps:
            if step.began_s and not step.ended_s:
                step.ended_s = now_s
