"""What a scrape gets: prometheus-client's formats, of a snapshot, by exact names."""

import gzip
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate, chain

import msgspec
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.telemetry.metrics.compat import Compat, compat_samples
from service.telemetry.metrics.counts import Histogram
from service.telemetry.metrics.families import FAMILIES, Family, Kind
from service.telemetry.metrics.metrics import Snapshot
from service.telemetry.metrics.samples import Sample, samples

_TOTAL = "_total"
_TYPES = {Kind.UNTYPED: "unknown"}
_VERSIONS = frozenset({"", "0.0.1", "0.0.4", "1.0.0"})
_GZIP_LEVEL = 4
"""Higher ones take several times as long for a few per cent."""


class Exposition(msgspec.Struct, frozen=True):
    """A body and what its headers are to say of it."""

    body: bytes
    content_type: str
    is_gzip: bool


def exposition(
    snapshot: Snapshot, accept: str, *, compat: Collection[Compat] = (), may_gzip: bool = False
) -> Exposition:
    """Write a snapshot in the format that `accept` asks for. It takes long: not on the loop."""
    encode, content_type = choose_encoder(_readable(accept))
    body = encode(SnapshotCollector(snapshot, compat))
    if may_gzip:
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return Exposition(body, content_type, may_gzip)


def _readable(accept: str) -> str:
    """Return the kinds that are accepted in versions that there are.

    prometheus-client raises TypeError for a version that is no number, and repeats any other one.
    """
    return ",".join(kind for kind in accept.split(",") if _version(kind) in _VERSIONS)


def _version(kind: str) -> str:
    """Return the version that one kind in `Accept` names, as prometheus-client finds it."""
    for parameter in kind.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "version":
            return value
    return ""


class SnapshotCollector(Collector):
    """A snapshot, as prometheus-client collects it: our own metrics with or without a number."""

    def __init__(self, snapshot: Snapshot, compat: Collection[Compat] = ()) -> None:
        self._snapshot = snapshot
        self._compat = compat

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, each with all of its samples."""
        by_family: dict[Family, list[Sample]] = {family: [] for family in FAMILIES}
        for sample in chain(samples(self._snapshot), compat_samples(self._snapshot, self._compat)):
            by_family.setdefault(sample.family, []).append(sample)
        return [_metric(family, found) for family, found in by_family.items()]


def _metric(family: Family, found: Iterable[Sample]) -> Metric:
    # Its writers add the suffix, which the samples themselves are to have.
    name = family.name.removesuffix(_TOTAL) if family.kind is Kind.COUNTER else family.name
    metric = Metric(name, family.meaning, _TYPES.get(family.kind, str(family.kind)))
    for sample in found:
        labels = dict(zip(family.labels, sample.labels, strict=True))
        if not isinstance(sample.value, Histogram):
            metric.add_sample(family.name, labels, sample.value)
            continue
        if family.kind is Kind.HISTOGRAM:
            for bound, count in _buckets(sample.value):
                metric.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
        metric.add_sample(f"{family.name}_count", labels, sample.value.count)
        metric.add_sample(f"{family.name}_sum", labels, sample.value.sum)
    return metric


def _buckets(histogram: Histogram) -> Iterator[tuple[str, int]]:
    """Return the bounds as they are written, and how many values are up to each."""
    bounds = [*histogram.bounds, float("inf")]
    return zip(map(floatToGoString, bounds), accumulate(histogram.counts), strict=True)
