"""What it costs to trace a request, or to see that it is not to be traced: `bench.tracing`."""

import timeit
from collections import deque
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBasedTraceIdRatio
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import set_span_in_context

from service.core.versions import ModelVersion
from service.telemetry.otlp.sampling import SampledRequests
from service.telemetry.otlp.spans import RequestSpans
from service.telemetry.tracing.batch_trace import BatchTrace
from service.telemetry.tracing.request_trace import (
    CURRENT,
    DECODE,
    ENCODE,
    QUEUE,
    RequestTrace,
)

_CALLS = 20_000
_REPEATS = 7
_VERSION = ModelVersion("registry", "model", "1", "", "", 0)
_PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-%02x"


def main() -> None:
    """Print what each takes: the least of some repetitions."""
    ended: deque[RequestTrace] = deque(maxlen=512)
    always = SampledRequests(DEFAULT_ON, ended.append)
    never = SampledRequests(ParentBasedTraceIdRatio(0.0), ended.append)
    scope = InstrumentationScope("service")
    spans = RequestSpans(Resource({"service.name": "bench"}), scope)
    tracer = TracerProvider(DEFAULT_ON, shutdown_on_exit=False).get_tracer("bench")

    def by_sdk() -> None:
        parent = tracer.start_span("request")
        context = set_span_in_context(parent)
        for step in (DECODE, QUEUE, "predict", ENCODE):
            tracer.start_span(step, context).end()
        parent.end()

    def exported() -> None:
        encode_spans([span for trace in ended for span in spans.of(trace)]).SerializeToString()

    _print("a look at the variable, where nothing is traced", CURRENT.get)
    _print("not sampled, without a parent", lambda: never.begin(b"", b""))
    _print("not sampled, as its parent", lambda: always.begin(_PARENT % 0, b""))
    _print("traced, with four steps", lambda: _traced(always, b""))
    _print("traced, below a parent", lambda: _traced(always, _PARENT % 1))
    _print("the same by the SDK's spans", by_sdk)
    _print("made and written, in the export's thread", exported, 5, len(ended))


def _traced(tracer: SampledRequests, parent: bytes) -> None:
    trace = tracer.begin(parent, b"")
    assert trace is not None  # noqa: S101 - the sampler says so
    trace.bind()
    trace.version = _VERSION
    trace.step(DECODE)
    trace.step(QUEUE)
    batch = BatchTrace([trace], 1, 1)
    batch.begin()
    batch.took(0.001)
    batch.end()
    trace.step(ENCODE)
    trace.answered(1)
    trace.name = "POST /predict"
    trace.attributes = {"http.request.method": "POST", "http.route": "/predict"}
    trace.attributes |= {"url.path": "/predict", "http.response.status_code": 200}
    tracer.end(trace)


def _print(name: str, call: Callable[[], object], calls: int = _CALLS, share: int = 1) -> None:
    took = [
        second / calls / share * 1e6
        for second in timeit.repeat(call, number=calls, repeat=_REPEATS)
    ]
    print(f"{name}: {min(took):.2f} microseconds (up to {max(took):.2f})")


if __name__ == "__main__":
    main()
