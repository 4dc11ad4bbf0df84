"""The same numbers under the names that other servers' dashboards and alerts use."""

from collections.abc import Collection, Iterator

from service.core.text_enum import TextEnum
from service.telemetry.metrics.counts import (
    REQUESTS,
    STEP_SECONDS,
    Histogram,
    RequestSteps,
    VersionCounts,
)
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
    "queue_duration_us",
    "Microseconds that requests waited for a worker, each as long as the oldest of its batch.",
)
TRITON_INPUT = _triton(
    "compute_input_duration_us",
    "Microseconds of decoding bodies, where the server process does that.",
)
TRITON_COMPUTE = _triton(
    "compute_infer_duration_us",
    "Microseconds that workers took for requests, for each as long as for its batch.",
)
TRITON_OUTPUT = _triton(
    "compute_output_duration_us",
    "Microseconds of encoding answers, where the server process does that.",
)
TRITON_PENDING = Family(
    "nv_inference_pending_request_count", Kind.GAUGE, _LABELS, "Requests that wait for a worker."
)
TRITON_REASONS = {REFUSED: "REJECTED", GONE: "CANCELED", FAILED: "BACKEND"}
_OTHER_REASON = "OTHER"


def _kserve(step: str, meaning: str, bounds: tuple[float, ...] = STEP_SECONDS) -> Family:
    return Family(f"request_{step}_seconds", Kind.HISTOGRAM, ("model_name",), meaning, bounds)


KSERVE_PREPROCESS = _kserve(
    "preprocess", "Seconds of decoding a body, where the server process does that."
)
KSERVE_PREDICT = _kserve(
    "predict", "Seconds of an answered request without its decoding and encoding."
)
KSERVE_POSTPROCESS = _kserve(
    "postprocess", "Seconds of encoding an answer, where the server process does that."
)
KSERVE_EXPLAIN = _kserve("explain", "Nothing: no request is explained here.", ())

MLSERVER_SUCCESS = Family(
    "model_infer_request_success_total", Kind.COUNTER, _LABELS, "Requests that were answered."
)
MLSERVER_FAILURE = Family(
    "model_infer_request_failure_total", Kind.COUNTER, _LABELS, "Requests that were not."
)
MLSERVER_DURATION = Family(
    "model_infer_request_duration", Kind.SUMMARY, _LABELS, "Seconds of answered requests."
)
MLSERVER_WAITING = Family(
    "batch_request_queue",
    Kind.HISTOGRAM,
    ("model_name", "model_version"),
    "Requests that waited for a worker when another one came.",
    REQUESTS,
)
MLSERVER_UNANSWERED = Family(
    "parallel_request_queue",
    Kind.HISTOGRAM,
    (),
    "Requests of a model that had no answer yet when one came, itself included.",
    REQUESTS,
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
            yield from _as_kserve((name,), counts.request_steps)
    if Compat.MLSERVER in wanted:
        yield Sample(MLSERVER_UNANSWERED, (), snapshot.unanswered)
    for gauges in snapshot.gauges:
        if gauges.serving is not None and Compat.TRITON in wanted:
            labels = (gauges.name, gauges.serving.version)
            yield Sample(TRITON_PENDING, labels, gauges.serving.pending)


def _as_triton(labels: tuple[str, str], counted: VersionCounts) -> Iterator[Sample]:
    duration, sums = counted.duration, counted.sums
    yield Sample(TRITON_SUCCESS, labels, duration.count)
    failures = dict.fromkeys((*TRITON_REASONS.values(), _OTHER_REASON), 0)
    for outcome, count in counted.not_ok.items():
        failures[TRITON_REASONS.get(outcome, _OTHER_REASON)] += count
    for reason, count in failures.items():
        yield Sample(TRITON_FAILURE, (*labels, reason), count)
    yield Sample(TRITON_ROWS, labels, counted.rows)
    yield Sample(TRITON_BATCHES, labels, counted.predict.count)
    seconds = {
        TRITON_DURATION: duration.sum,
        TRITON_QUEUE: sums.waited_s,
        TRITON_INPUT: sums.decoded_s,
        TRITON_COMPUTE: sums.predicted_s,
        TRITON_OUTPUT: sums.encoded_s,
    }
    for family, value in seconds.items():
        yield Sample(family, labels, round(value * _US))


def _as_kserve(labels: tuple[str], steps: RequestSteps) -> Iterator[Sample]:
    yield Sample(KSERVE_PREPROCESS, labels, steps.decode)
    yield Sample(KSERVE_PREDICT, labels, steps.predict)
    yield Sample(KSERVE_POSTPROCESS, labels, steps.encode)
    # So that sums of all four steps are no empty ones.
    yield Sample(KSERVE_EXPLAIN, labels, Histogram(()))


def _as_mlserver(labels: tuple[str, str], counted: VersionCounts) -> Iterator[Sample]:
    duration = counted.duration
    yield Sample(MLSERVER_SUCCESS, labels, duration.count)
    yield Sample(MLSERVER_FAILURE, labels, counted.not_ok.total())
    yield Sample(MLSERVER_DURATION, labels, duration)
    yield Sample(MLSERVER_WAITING, labels, counted.sums.waiting)
