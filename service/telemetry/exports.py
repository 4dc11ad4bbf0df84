"""What leaves the process for a collector, as the service knows it without the library for it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from service.settings.exported import Exported
from service.telemetry.metrics.metrics import Metrics
from service.telemetry.observer import Observer
from service.telemetry.tracing.request_trace import RequestTracer


class Exports(Protocol):
    """Traces and metrics on their way out of the process; `running` hosts it."""

    @property
    def requests(self) -> RequestTracer | None:
        """What traces requests; None where traces are not exported."""
        ...

    def observers(self, name: str) -> Sequence[Observer]:
        """Return what is told of a deployment of this name."""
        ...

    def running(self, metrics: Metrics) -> AbstractAsyncContextManager[None]:
        """Export meanwhile; then what is left, within a time that is short."""
        ...


def open_exports(exported: Exported, taken: Mapping[str, str]) -> Exports | None:
    """Return what exports, None where nothing is to be.

    `taken` are variables that were taken out of the environment; see `otlp.exports`.
    """
    if not (exported.traces or exported.metrics):
        return None
    from service.telemetry.otlp.exports import open_otlp  # noqa: PLC0415 - an extra, and half a second

    return open_otlp(exported, taken)
