"""A collector of OTLP over HTTP, in this process: it keeps what comes, and can hang or refuse."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ERROR = 2
_HANG_S = 60.0
_WAIT_S = 30.0


class Span(NamedTuple):
    """One span as it came, with its ids in hexadecimal digits."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    took_s: float
    state: str
    service: str


class Collector:
    """Keeps spans, numbers and headers, in the order in which they came."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.numbers: dict[str, float] = {}
        """Of the last export: each under the name and labels that Prometheus would show."""
        self.headers: list[dict[str, str]] = []
        self.raw = b""
        """All bodies, end to end."""
        self.hangs = threading.Event()
        """While it is set, nothing is answered."""
        self.hung = 0
        """How many exports it has let hang."""
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        """Listen meanwhile."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._released.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def of(self, trace: str) -> list[Span]:
        """Return what has come of a trace."""
        return [span for span in self.spans if span.trace == trace]

    def wait(self, trace: str, is_whole: Callable[[list[Span]], object]) -> dict[str, Span]:
        """Return a trace's spans by their names, once it is whole."""
        deadline = time.monotonic() + _WAIT_S
        while not is_whole(self.of(trace)):
            assert time.monotonic() < deadline, f"of trace {trace} came {self.of(trace)}"
            time.sleep(0.02)
        return {span.name: span for span in self.of(trace)}

    def take(self, path: str, body: bytes) -> None:
        """Keep what came."""
        self.raw += body
        if path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/metrics":
            self.numbers = _numbers(ExportMetricsServiceRequest.FromString(body))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Keep it, or hang."""
                body = self.rfile.read(int(self.headers["content-length"]))
                if collector.hangs.is_set():
                    collector.hung += 1
                    collector._released.wait(_HANG_S)
                    return
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.headers.append(
                    {name.lower(): value for name, value in self.headers.items()}
                )
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _spans(request: Any) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.status.code,
                    _values(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    span.trace_state,
                    service,
                )


def _numbers(request: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    found.update(_number(metric.name, kind, point))
    return found


def _number(name: str, kind: str, point: Any) -> dict[str, float]:
    labels = {one.key: one.value.string_value for one in point.attributes}
    if kind != "histogram":
        value = point.as_double if point.HasField("as_double") else point.as_int
        return {_shown(name, labels): float(value)}
    found = {_shown(f"{name}_count", labels): float(point.count)}
    found[_shown(f"{name}_sum", labels)] = point.sum
    so_far = 0
    for bound, count in zip([*point.explicit_bounds, None], point.bucket_counts, strict=True):
        so_far += count
        le = "+Inf" if bound is None else str(float(bound))
        found[_shown(f"{name}_bucket", {**labels, "le": le})] = float(so_far)
    return found


def _shown(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
    return f"{name}{{{told}}}"


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
