"""The numbers of a snapshot, metric by metric, as families with their labels."""

from collections.abc import Iterator, Mapping

import msgspec

from service.core.protocols import WireProtocol
from service.core.versions import version_number
from service.telemetry.metrics import families
from service.telemetry.metrics.calls import CallCounts
from service.telemetry.metrics.counts import Histogram, ModelCounts, VersionCounts
from service.telemetry.metrics.families import Family
from service.telemetry.metrics.gauges import ModelGauges, ServingGauges
from service.telemetry.metrics.metrics import Snapshot
from service.telemetry.metrics.outcomes import OK


class Sample(msgspec.Struct, frozen=True):
    """A number, or a histogram, of a family; `labels` in the family's order."""

    family: Family
    labels: tuple[str, ...]
    value: float | Histogram


def samples(snapshot: Snapshot) -> Iterator[Sample]:
    """Return everything that a snapshot has, model by model."""
    for name, counts in snapshot.models.items():
        yield from _of_model(name, counts)
        protocols = counts.protocols
        for version, counted in counts.versions.items():
            for protocol in protocols:
                yield from _of_requests((name, version, protocol.label), counted, protocol)
            yield from _of_version((name, version), counted)
    for gauges in snapshot.gauges:
        yield from _of_gauges(gauges)
        if gauges.serving is not None:
            yield from _of_serving((gauges.name, gauges.serving.version), gauges.serving)
    yield from _of_calls(snapshot.calls)
    yield Sample(families.LOG_DROPPED, (), snapshot.lost_lines)
    yield Sample(families.LOOP_LAG, (), snapshot.loop_lag)


def _of_calls(counts: CallCounts) -> Iterator[Sample]:
    for (route, status), count in counts.http.items():
        yield Sample(families.HTTP_REQUESTS, (route, str(status)), count)
    for labels, count in counts.grpc.items():
        yield Sample(families.GRPC_CALLS, labels, count)
    yield from _each(families.CONNECTIONS_REFUSED, (), counts.connections_refused)


def _of_requests(
    labels: tuple[str, str, str], counted: VersionCounts, protocol: WireProtocol
) -> Iterator[Sample]:
    duration = counted.durations[protocol]
    yield Sample(families.REQUESTS, (*labels, OK), duration.count)
    yield from _each(families.REQUESTS, labels, counted.outcomes[protocol])
    yield Sample(families.REQUEST_DURATION, labels, duration)


def _of_version(labels: tuple[str, str], counted: VersionCounts) -> Iterator[Sample]:
    yield from _each(families.ERRORS, labels, counted.errors)
    yield from _each(families.SHED, labels, counted.shed)
    yield from _each(families.ENGINE_FAULTS, labels, counted.engine_faults)
    yield from _each(families.ENGINE_FALLBACKS, labels, counted.engine_fallbacks)
    numbers: dict[Family, float | Histogram] = {
        families.ROWS_ANSWERED: counted.rows,
        families.BATCHES: counted.predict.count,
        families.BATCHED_REQUESTS: counted.batched_requests,
        families.QUEUE: counted.queue,
        families.PREDICT: counted.predict,
        families.BATCH_ROWS: counted.batch_rows,
        families.WORKER_LOADS: counted.loads,
        families.WORKERS_LOST: counted.lost,
        families.WORKERS_NOT_REPLACED: counted.not_replaced,
        families.WORKERS_OVER_LIMIT: counted.over_limit,
    }
    for family, value in numbers.items():
        yield Sample(family, labels, value)


def _of_model(name: str, counts: ModelCounts) -> Iterator[Sample]:
    yield from _each(families.PROMOTIONS_BEGUN, (name,), counts.begun)
    yield from _each(families.PROMOTIONS, (name,), counts.ended)
    yield from _each(families.ROLLBACKS, (name,), counts.rollbacks)
    for step, durations in counts.steps.items():
        yield Sample(families.PROMOTION_SECONDS, (name, step), durations)
    for (gate, outcome), durations in counts.gates.items():
        yield Sample(families.GATE_SECONDS, (name, gate, outcome), durations)
    yield Sample(families.SWAPS, (name,), counts.swaps)
    yield from _each(families.ENVIRONMENT_BUILDS, (name,), counts.environments)
    yield Sample(families.ENVIRONMENT_BUILD_SECONDS, (name,), counts.builds)


def _of_gauges(gauges: ModelGauges) -> Iterator[Sample]:
    labels = (gauges.name,)
    yield Sample(families.READY, labels, gauges.ready)
    yield Sample(families.FAILED_PASSES, labels, gauges.failed_passes)
    yield Sample(families.ENVIRONMENT_BUILDING, labels, gauges.builds)
    yield Sample(families.ENVIRONMENT_WAITING, labels, gauges.waiting_s)
    if gauges.registry_age_s is not None:
        yield Sample(families.REGISTRY_AGE, labels, gauges.registry_age_s)
    served = None if gauges.serving is None else gauges.serving.version
    for family, version in (
        (families.PROMOTED, gauges.promoted),
        (families.PINNED, gauges.pinned),
        (families.SERVED, served),
    ):
        # A run has no number, and an id of digits is none.
        if version is not None and (number := version_number(version)) is not None:
            yield Sample(family, labels, int(number))


def _of_serving(labels: tuple[str, str], serving: ServingGauges) -> Iterator[Sample]:
    info = (serving.digest, serving.run_id, serving.python, serving.predictor)
    yield Sample(families.MODEL_INFO, (*labels, *info), 1)
    yield Sample(families.PENDING, labels, serving.pending)
    yield Sample(families.UNANSWERED, labels, serving.unanswered)
    yield Sample(families.WORKERS_WANTED, labels, serving.workers_wanted)
    yield from _each(families.WORKERS, labels, serving.workers)


def _each(family: Family, labels: tuple[str, ...], counts: Mapping[str, int]) -> Iterator[Sample]:
    for label, count in counts.items():
        yield Sample(family, (*labels, label), count)
