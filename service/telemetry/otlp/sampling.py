"""Which requests are traced: what OTEL_TRACES_SAMPLER says, asked at a request's head."""

import time
from collections.abc import Callable
from random import getrandbits

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from service.core.trace_context import Parent, parent_of
from service.telemetry.tracing.request_trace import RequestTrace

_NAME = "request"
"""What a sampler is told: the route is not known at the head."""
_MOST_STATE_BYTES = 512
"""A longer `tracestate` counts as absent; W3C has everyone pass on at least so much."""


class SampledRequests:
    """Begins traces, and passes on those that have ended.

    A sampler that does as the caller's does, as all that are called `parentbased` do, is not asked:
    it would take four times as long.
    """

    def __init__(self, sampler: Sampler, put: Callable[[RequestTrace], None]) -> None:
        self._should_sample = sampler.should_sample
        told = sampler.get_description()
        self._keeps_sampled = "remoteParentSampled:AlwaysOnSampler" in told
        self._drops_unsampled = "remoteParentNotSampled:AlwaysOffSampler" in told
        self._put = put

    def begin(self, parent: bytes, state: bytes) -> RequestTrace | None:
        """Return the trace of a request with these headers, None where it is not traced."""
        found = parent_of(parent) if parent else None
        if found is None:
            trace_id = getrandbits(128) or 1
            result = self._should_sample(None, trace_id, _NAME, SpanKind.SERVER)
            if result.decision is not Decision.RECORD_AND_SAMPLE:
                return None
            return RequestTrace(trace_id, 0, _header(result.trace_state))
        if found.is_sampled and self._keeps_sampled:
            return RequestTrace(found.trace_id, found.span_id, _header(_states(state)))
        if not found.is_sampled and self._drops_unsampled:
            return None
        states = _states(state)
        context = _context(found, states)
        result = self._should_sample(context, found.trace_id, _NAME, SpanKind.SERVER)
        if result.decision is not Decision.RECORD_AND_SAMPLE:
            return None
        return RequestTrace(found.trace_id, found.span_id, _header(result.trace_state or states))

    def end(self, trace: RequestTrace) -> None:
        """Take a request that has ended."""
        trace.ended_s = time.perf_counter()
        self._put(trace)


def _states(header: bytes) -> TraceState | None:
    if not header or len(header) > _MOST_STATE_BYTES:
        return None
    return TraceState.from_header([header.decode("latin-1")])


def _context(parent: Parent, states: TraceState | None) -> Context:
    flags = TraceFlags(parent.flags)
    remote = SpanContext(parent.trace_id, parent.span_id, True, flags, states)  # noqa: FBT003
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _header(states: TraceState | None) -> str:
    return states.to_header() if states else ""
