"""Traces and metrics of this process on their way to a collector, by the SDK and its exporters.

The variables that OpenTelemetry has for every service say where they go, how, and what is sampled.
"""

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import anyio
from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from service.settings.exported import Exported
from service.telemetry.exports import Exports
from service.telemetry.metrics.metrics import Metrics, Snapshot
from service.telemetry.observer import Observer
from service.telemetry.otlp.export_thread import ExportThread
from service.telemetry.otlp.outages import OnePerOutage
from service.telemetry.otlp.points import Points
from service.telemetry.otlp.promotions import PromotionTraces
from service.telemetry.otlp.sampling import SampledRequests
from service.telemetry.otlp.spans import RequestSpans
from service.telemetry.tracing.request_trace import RequestTrace, RequestTracer

NAME = "mlflow-hotswap"
_LAST_S = 2.0
"""For so long, at its end, the service waits for what is left to be exported."""
_LOOK_S = 0.01
_UNNAMED = "unknown_service"

_Ended = RequestTrace | ReadableSpan


def open_otlp(exported: Exported, taken: Mapping[str, str]) -> Exports:
    """Return what exports, as the environment says.

    `taken` are variables that were taken out of it, so that models don't find them there: they are
    in it meanwhile, so no process is to be started. It reads files, and starts no thread.
    """
    os.environ.update(taken)
    try:
        own = _own_resource()
        scope = InstrumentationScope("service", version(NAME))
        traces = _Traces(exported, own, scope) if exported.traces else None
        metrics = _Metrics(exported, own, scope) if exported.metrics else None
        return OtlpExports(traces, metrics)
    finally:
        for name in taken:
            del os.environ[name]


class _Traces:
    """Spans of requests and promotions, their sampler and their exporter."""

    def __init__(self, exported: Exported, own: Resource, scope: InstrumentationScope) -> None:
        self.outages = OnePerOutage(trace_exporter.__name__)
        self.exporter = trace_exporter.OTLPSpanExporter()
        self._spans = RequestSpans(own, scope)
        self.thread: ExportThread[_Ended] = ExportThread(
            "otlp-traces", self._export, exported.queue, exported.batch, exported.delay_s
        )
        provider = TracerProvider(resource=own, shutdown_on_exit=False)
        provider.add_span_processor(_Queued(self.thread))
        self.tracer = provider.get_tracer(scope.name, scope.version)
        self.requests = SampledRequests(provider.sampler, self.thread.put)

    def _export(self, ended: Sequence[_Ended]) -> None:
        spans = list(self._all_spans(ended))
        if self.exporter.export(spans) is SpanExportResult.SUCCESS:
            self.outages.succeeded()

    def _all_spans(self, ended: Sequence[_Ended]) -> Iterator[ReadableSpan]:
        for one in ended:
            if isinstance(one, RequestTrace):
                yield from self._spans.of(one)
            else:
                yield one


class _Metrics:
    """Snapshots of the metrics, and their exporter."""

    def __init__(self, exported: Exported, own: Resource, scope: InstrumentationScope) -> None:
        self.interval_s = exported.interval_s
        self.outages = OnePerOutage(metric_exporter.__name__)
        self.exporter = metric_exporter.OTLPMetricExporter()
        self._points = Points(own, scope, time.time_ns())
        # Of two that wait the later one says it all.
        self.thread: ExportThread[Snapshot] = ExportThread(
            "otlp-metrics", self._export, 1, 1, exported.interval_s
        )

    def _export(self, snapshots: Sequence[Snapshot]) -> None:
        data = self._points.of(snapshots[-1], time.time_ns())
        if self.exporter.export(data) is MetricExportResult.SUCCESS:
            self.outages.succeeded()


class _Queued(SpanProcessor):
    """Puts spans that the SDK has ended beside those of requests."""

    def __init__(self, thread: ExportThread[_Ended]) -> None:
        self._thread = thread

    def on_end(self, span: ReadableSpan) -> None:
        """Put it, where it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._thread.put(span)


class OtlpExports:
    """See Exports."""

    def __init__(self, traces: _Traces | None, metrics: _Metrics | None) -> None:
        self._traces = traces
        self._metrics = metrics

    @property
    def requests(self) -> RequestTracer | None:
        """What traces requests; None where traces are not exported."""
        return None if self._traces is None else self._traces.requests

    def observers(self, name: str) -> Sequence[Observer]:
        """Return what is told of a deployment of this name."""
        return [] if self._traces is None else [PromotionTraces(name, self._traces.tracer)]

    @asynccontextmanager
    async def running(self, metrics: Metrics) -> AsyncIterator[None]:
        """Export meanwhile; then what is left, within two seconds."""
        signals = [signal for signal in (self._traces, self._metrics) if signal is not None]
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            for signal in signals:
                stack.enter_context(signal.outages.applied())
                signal.thread.start()
            if self._metrics is not None:
                tasks.start_soon(_look_at, metrics, self._metrics)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._end(metrics)

    async def _end(self, metrics: Metrics) -> None:
        if self._metrics is not None:
            self._metrics.thread.put(await metrics.snapshot())
        signals = [signal for signal in (self._traces, self._metrics) if signal is not None]
        for signal in signals:
            signal.thread.end()
        with anyio.move_on_after(_LAST_S):
            for signal in signals:
                while signal.thread.is_alive:  # noqa: ASYNC110 - it may set no event of the loop's
                    await anyio.sleep(_LOOK_S)
        for signal in signals:
            # It ends what an export still waits for.
            signal.exporter.shutdown()


async def _look_at(metrics: Metrics, export: _Metrics) -> None:
    """Have a snapshot exported every so often."""
    while True:
        await anyio.sleep(export.interval_s)
        export.thread.put(await metrics.snapshot())


def _own_resource() -> Resource:
    """Return what the environment says of this service, by our name where it has none."""
    told = Resource.create({SERVICE_VERSION: version(NAME)})
    named = str(told.attributes.get(SERVICE_NAME, _UNNAMED))
    if named.startswith(_UNNAMED):
        return told.merge(Resource({SERVICE_NAME: NAME}))
    return told
