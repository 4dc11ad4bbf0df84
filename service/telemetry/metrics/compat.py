"""The same numbers under the names that other servers' dashboards and alerts use."""

from collections.abc import Collection, Iterator

from service.core.text_enum import TextEnum
from service.telemetry.metrics import families
from service.telemetry.metrics.counts import Histogram, ModelCounts, VersionCounts
from service.telemetry.metrics.families import Family, Kind
from service.telemetry.metrics.metrics import Snapshot
from service.telemetry.metrics.outcomes import FAILED, GONE, REFUSED
from service.telemetry.metrics.samples import Sample


class Compat(TextEnum):
    """The servers whose names are known."""

    TRITON = "triton"
    KSERVE = "kserve"
    MLSERVER = "mlserver"


_LABELS = ("model", "version")
_US = 1_000_000


def _triton(name: str, meaning: str, *labels: str) -> Family:
    # Its counters have no `_total`, which OpenMetrics wants of each: they are shown without a type.
    return Family(f"nv_inference_{name}", Kind.UNTYPED, (*_LABELS, *labels), meaning)


TRITON_SUCCESS = _triton("request_success", "Requests that were answered.")
TRITON_FAILURE = _triton("request_failure", "Requests that were not, by reason.", "reason")
TRITON_ROWS = _triton("count", "Rows of the requests that were answered.")
TRITON_BATCHES = _triton("exec_count", "Batches.")
TRITON_DURATION = _triton("request_duration_us", "Microseconds of all answered requests together.")
TRITON_QUEUE = _triton(
    "queue_duration_us", "Microseconds that batches' oldest requests waited, together."
)
TRITON_COMPUTE = _triton("compute_infer_duration_us", "Microseconds of all batches together.")
TRITON_PENDING = Family(
    "nv_inference_pending_request_count", Kind.GAUGE, _LABELS, "Requests that wait for a worker."
)
TRITON_REASONS = {REFUSED: "REJECTED", GONE: "CANCELED", FAILED: "BACKEND"}
_OTHER_REASON = "OTHER"

KSERVE_PREDICT = Family(
    "request_predict_seconds",
    Kind.HISTOGRAM,
    ("model_name",),
    "Seconds from a request's body to its answer, for those that were answered.",
    families.SECONDS,
)

MLSERVER_SUCCESS = Family(
    "model_infer_request_success_total", Kind.COUNTER, _LABELS, "Requests that were answered."
)
MLSERVER_FAILURE = Family(
    "model_infer_request_failure_total", Kind.COUNTER, _LABELS, "Requests that were not."
)
MLSERVER_DURATION = Family(
    "model_infer_request_duration", Kind.SUMMARY, _LABELS, "Seconds of answered requests."
)


def compat_samples(snapshot: Snapshot, wanted: Collection[Compat]) -> Iterator[Sample]:
    """Return what the dashboards of these servers ask for, as far as it is known."""
    for name, counts in snapshot.models.items():
        for version, counted in counts.versions.items():
            if Compat.TRITON in wanted:
                yield from _as_triton((name, version), counted)
            if Compat.MLSERVER in wanted:
                yield from _as_mlserver((name, version), counted)
        if Compat.KSERVE in wanted:
            yield Sample(KSERVE_PREDICT, (name,), _of_all_versions(counts))
    for gauges in snapshot.gauges:
        if gauges.serving is not None and Compat.TRITON in wanted:
            labels = (gauges.name, gauges.serving.version)
            yield Sample(TRITON_PENDING, labels, gauges.serving.pending)


def _as_triton(labels: tuple[str, str], counted: VersionCounts) -> Iterator[Sample]:
    duration = counted.duration
    yield Sample(TRITON_SUCCESS, labels, duration.count)
    failures = dict.fromkeys((*TRITON_REASONS.values(), _OTHER_REASON), 0)
    for outcome, count in counted.not_ok.items():
        failures[TRITON_REASONS.get(outcome, _OTHER_REASON)] += count
    for reason, count in failures.items():
        yield Sample(TRITON_FAILURE, (*labels, reason), count)
    yield Sample(TRITON_ROWS, labels, counted.rows)
    yield Sample(TRITON_BATCHES, labels, counted.predict.count)
    yield Sample(TRITON_DURATION, labels, round(duration.sum * _US))
    yield Sample(TRITON_QUEUE, labels, round(counted.queue.sum * _US))
    yield Sample(TRITON_COMPUTE, labels, round(counted.predict.sum * _US))


def _as_mlserver(labels: tuple[str, str], counted: VersionCounts) -> Iterator[Sample]:
    duration = counted.duration
    yield Sample(MLSERVER_SUCCESS, labels, duration.count)
    yield Sample(MLSERVER_FAILURE, labels, counted.not_ok.total())
    yield Sample(MLSERVER_DURATION, labels, duration)


def _of_all_versions(counts: ModelCounts) -> Histogram:
    """Return the durations of a model's requests, whichever version answered."""
    together = Histogram(families.SECONDS)
    for counted in counts.versions.values():
        together.add(counted.duration)
    return together
