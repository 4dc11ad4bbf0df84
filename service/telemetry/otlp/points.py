"""The numbers of `/metrics` as OTLP has them, under the same names."""

from collections.abc import Iterable, Mapping

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from service.telemetry.metrics.counts import Histogram
from service.telemetry.metrics.families import FAMILIES, Family, Kind
from service.telemetry.metrics.metrics import Snapshot
from service.telemetry.metrics.samples import Sample, samples

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_SECONDS = "_seconds"
_Series = tuple[Family, tuple[str, ...]]


class Points:
    """Makes an export of each snapshot. Its counts are cumulative, whatever is preferred.

    A series counts from the service's start on, or, where it was not in the export before, from
    that one's time on: what was forgotten begins at 0 again.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope, began_ns: int) -> None:
        self._resource = resource
        self._scope = scope
        self._last_ns = began_ns
        self._since: dict[_Series, int] = {}

    def of(self, snapshot: Snapshot, now_ns: int) -> MetricsData:
        """Return all numbers of a snapshot."""
        by_family: dict[Family, list[Sample]] = {}
        since: dict[_Series, int] = {}
        for sample in samples(snapshot):
            by_family.setdefault(sample.family, []).append(sample)
            series = sample.family, sample.labels
            since[series] = self._since.get(series, self._last_ns)
        self._since, self._last_ns = since, now_ns
        metrics = [
            _metric(family, by_family[family], since, now_ns)
            for family in FAMILIES
            if family in by_family
        ]
        scoped = ScopeMetrics(scope=self._scope, metrics=metrics, schema_url="")
        one = ResourceMetrics(resource=self._resource, scope_metrics=[scoped], schema_url="")
        return MetricsData(resource_metrics=[one])


def _metric(
    family: Family, found: Iterable[Sample], since: Mapping[_Series, int], now_ns: int
) -> Metric:
    unit = "s" if family.name.endswith(_SECONDS) else ""
    data: Sum | Gauge | HistogramData
    if family.kind is Kind.HISTOGRAM:
        spread = [_spread(sample, since[family, sample.labels], now_ns) for sample in found]
        data = HistogramData(data_points=spread, aggregation_temporality=_CUMULATIVE)
    else:
        is_sum = family.kind is Kind.COUNTER
        numbers = [
            _number(sample, since[family, sample.labels] if is_sum else None, now_ns)
            for sample in found
        ]
        data = Sum(numbers, _CUMULATIVE, is_monotonic=True) if is_sum else Gauge(numbers)
    return Metric(name=family.name, description=family.meaning, unit=unit, data=data)


def _labels(sample: Sample) -> dict[str, str]:
    return dict(zip(sample.family.labels, sample.labels, strict=True))


def _number(sample: Sample, since_ns: int | None, now_ns: int) -> NumberDataPoint:
    value = sample.value
    assert not isinstance(value, Histogram)  # noqa: S101 - its family says so
    return NumberDataPoint(
        attributes=_labels(sample),
        start_time_unix_nano=since_ns,  # type: ignore[arg-type] # a gauge has none
        time_unix_nano=now_ns,
        # A truth is no number there.
        value=int(value) if isinstance(value, bool) else value,
    )


def _spread(sample: Sample, since_ns: int, now_ns: int) -> HistogramDataPoint:
    value = sample.value
    assert isinstance(value, Histogram)  # noqa: S101 - its family says so
    return HistogramDataPoint(
        attributes=_labels(sample),
        start_time_unix_nano=since_ns,
        time_unix_nano=now_ns,
        count=value.count,
        sum=value.sum,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
        # Nobody counted them.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )
