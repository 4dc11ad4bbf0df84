"""The spans of one traced request. They are made beside the event loop, in the export's thread."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from service.core.text import NAME_CHARACTERS, presentable
from service.telemetry.tracing.request_trace import RequestTrace, Step, new_span_id

MODEL_NAME, MODEL_VERSION = "mlflow.model.name", "mlflow.model.version"
ROWS, CODE = "hotswap.rows", "hotswap.code"
_CALLERS = ("http.request.method", "url.path")
"""What a caller may have written as it likes, a credential too."""
_KEPT = 1_024
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_NS = 1_000_000_000


class RequestSpans:
    """Makes spans of requests, with what all of them have in common."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope

    def of(self, trace: RequestTrace) -> Iterator[ReadableSpan]:
        """Return the request's own span, and one for each of its steps."""
        states = TraceState.from_header([trace.state]) if trace.state else None
        own = _span_context(trace.trace_id, trace.span_id, states)
        parent = None
        if trace.parent_id:
            parent = SpanContext(trace.trace_id, trace.parent_id, True, _SAMPLED, states)  # noqa: FBT003
        yield self._span(
            trace.name,
            own,
            parent,
            SpanKind.SERVER,
            _attributes(trace),
            _ERROR if trace.is_failed else _UNSET,
            (trace.began_ns, _ns(trace, trace.ended_s)),
        )
        for step in trace.steps:
            yield self._step(trace, step, own, states)

    def _step(
        self, trace: RequestTrace, step: Step, parent: SpanContext, states: TraceState | None
    ) -> ReadableSpan:
        attributes = dict(step.attributes)
        if step.error:
            attributes[ERROR_TYPE] = step.error
        links = [
            Link(SpanContext(trace_id, span_id, False, _SAMPLED))  # noqa: FBT003
            for trace_id, span_id in step.links
        ]
        return self._span(
            step.name,
            _span_context(trace.trace_id, step.span_id or new_span_id(), states),
            parent,
            SpanKind.INTERNAL,
            attributes,
            _ERROR if step.error else _UNSET,
            (_ns(trace, step.began_s), _ns(trace, step.ended_s or trace.ended_s)),
            links,
        )

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        status: Status,
        times: tuple[int, int],
        links: list[Link] | None = None,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            attributes,
            links=links or (),
            kind=kind,
            status=status,
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )


def _attributes(trace: RequestTrace) -> dict[str, Any]:
    attributes = dict(trace.attributes)
    for name in _CALLERS:
        if name in attributes:
            attributes[name] = _shown(attributes[name])
    if trace.version is not None:
        attributes[MODEL_NAME] = _shown(trace.version.name)
        attributes[MODEL_VERSION] = trace.version.version
    if trace.rows:
        attributes[ROWS] = trace.rows
    if trace.error:
        attributes[CODE] = trace.error
    if trace.is_failed and ERROR_TYPE not in attributes:
        attributes[ERROR_TYPE] = trace.error
    return attributes


@lru_cache(_KEPT)
def _shown(text: str) -> str:
    """Return a text cut and without credentials. To look for them takes as long as a span."""
    return presentable(text, NAME_CHARACTERS)


def _span_context(trace_id: int, span_id: int, states: TraceState | None) -> SpanContext:
    return SpanContext(trace_id, span_id, False, _SAMPLED, states)  # noqa: FBT003


def _ns(trace: RequestTrace, at_s: float) -> int:
    """Return a time of the performance counter's since the epoch."""
    return trace.began_ns + int((at_s - trace.began_s) * _NS)
