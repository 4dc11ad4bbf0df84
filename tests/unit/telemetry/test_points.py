"""The numbers of `/metrics` as OTLP has them."""

from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from service.core.protocols import WireProtocol
from service.core.versions import ModelVersion
from service.telemetry.metrics.metrics import KEPT_S
from service.telemetry.otlp.points import Points
from tests.support.metered import SERVING, Service

BEGAN_NS = 1_000


def version(number: int) -> ModelVersion:
    """Return a version."""
    return ModelVersion("r", "m", str(number), "", "", 0)


def starts_of(data: MetricsData, name: str) -> dict[str, tuple[int, float]]:
    """Return since when each version's series of a name counts, and its number."""
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    (metric,) = [one for one in scope.metrics if one.name == name]
    points: Any = metric.data.data_points
    return {str(p.attributes["version"]): (p.start_time_unix_nano, p.value) for p in points}


async def test_a_series_that_begins_anew_says_since_when() -> None:
    """A version that was forgotten and comes again counts from the export before on."""
    service = Service()
    service.serving = SERVING
    observer = service.metrics.observer("m")
    points = Points(Resource({}), InstrumentationScope("s"), BEGAN_NS)
    rows = "hotswap_rows_total"
    observer.request_answered(version(1), WireProtocol.NATIVE, 5, 0.1)
    observer.request_answered(version(2), WireProtocol.NATIVE, 7, 0.1)
    first = points.of(await service.metrics.snapshot(), 2_000)
    assert starts_of(first, rows) == {"1": (BEGAN_NS, 5), "2": (BEGAN_NS, 7)}
    service.now_s += KEPT_S + 1
    gone = points.of(await service.metrics.snapshot(), 3_000)
    assert starts_of(gone, rows) == {"1": (BEGAN_NS, 5)}
    observer.request_answered(version(2), WireProtocol.NATIVE, 1, 0.1)
    again = points.of(await service.metrics.snapshot(), 4_000)
    assert starts_of(again, rows) == {"1": (BEGAN_NS, 5), "2": (3_000, 1)}
