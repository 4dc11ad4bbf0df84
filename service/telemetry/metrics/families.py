"""Every metric of this service: its name as Prometheus shows it, its labels, and its meaning."""

import msgspec

from service.core.text_enum import TextEnum

SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""The bounds of durations of requests and batches: a small model answers within a millisecond."""
LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""The bounds of steps of a promotion."""
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0)


class Kind(TextEnum):
    """The types that Prometheus has."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"
    UNTYPED = "untyped"


class Family(msgspec.Struct, frozen=True):
    """One metric; `bounds` are the upper ones of a histogram's buckets."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()


_MODEL = ("model",)
_VERSION = ("model", "version")

REQUESTS = Family(
    "hotswap_requests_total",
    Kind.COUNTER,
    (*_VERSION, "protocol", "outcome"),
    "Requests that a model was asked: answered (ok), or not, and whose fault that is.",
)
ERRORS = Family(
    "hotswap_request_errors_total",
    Kind.COUNTER,
    (*_VERSION, "code"),
    "Requests that were not answered, by the code that their callers were told.",
)
SHED = Family(
    "hotswap_shed_total",
    Kind.COUNTER,
    (*_VERSION, "reason"),
    "Requests that were refused without a fault of the caller or the model, by reason.",
)
ROWS_ANSWERED = Family(
    "hotswap_rows_total", Kind.COUNTER, _VERSION, "Rows of the requests that were answered."
)
REQUEST_DURATION = Family(
    "hotswap_request_duration_seconds",
    Kind.HISTOGRAM,
    (*_VERSION, "protocol"),
    "Seconds from a request's whole body to its encoded answer, for those that were answered.",
    SECONDS,
)
BATCHES = Family(
    "hotswap_batches_total", Kind.COUNTER, _VERSION, "Calls of a worker, each for some requests."
)
BATCHED_REQUESTS = Family(
    "hotswap_batched_requests_total",
    Kind.COUNTER,
    _VERSION,
    "Requests in all batches; one that is run again after a failure counts again.",
)
QUEUE = Family(
    "hotswap_queue_seconds",
    Kind.HISTOGRAM,
    _VERSION,
    "Seconds that the oldest request of a batch had waited for a worker.",
    SECONDS,
)
PREDICT = Family(
    "hotswap_predict_seconds",
    Kind.HISTOGRAM,
    _VERSION,
    "Seconds that a worker took for a batch, with the way there and back.",
    SECONDS,
)
BATCH_ROWS = Family(
    "hotswap_batch_rows",
    Kind.HISTOGRAM,
    _VERSION,
    "Rows of a batch; bodies that a worker decodes are not in it.",
    ROWS,
)
ENGINE_FAULTS = Family(
    "hotswap_engine_faults_total",
    Kind.COUNTER,
    (*_VERSION, "engine"),
    "Calls in which a compiled engine failed inside a worker and MLflow's own call answered.",
)
ENGINE_FALLBACKS = Family(
    "hotswap_engine_fallbacks_total",
    Kind.COUNTER,
    (*_VERSION, "engine"),
    "Calls that a compiled engine left to MLflow's own: it can't answer such rows rightly.",
)
WORKER_LOADS = Family(
    "hotswap_worker_load_seconds",
    Kind.HISTOGRAM,
    _VERSION,
    "Seconds that workers took to start and to load their version.",
    LONG_SECONDS,
)
WORKERS_LOST = Family(
    "hotswap_workers_lost_total",
    Kind.COUNTER,
    _VERSION,
    "Workers that ended though nobody had asked them to.",
)
WORKERS_NOT_REPLACED = Family(
    "hotswap_workers_not_replaced_total",
    Kind.COUNTER,
    _VERSION,
    "Attempts to replace a lost worker that failed.",
)
WORKERS_OVER_LIMIT = Family(
    "hotswap_workers_over_limit_total",
    Kind.COUNTER,
    _VERSION,
    "Workers that were ended for more memory than WORKER_LIMITS allows.",
)
PROMOTIONS_BEGUN = Family(
    "hotswap_promotions_begun_total",
    Kind.COUNTER,
    (*_MODEL, "trigger"),
    "Promotions that were noticed, and by what.",
)
PROMOTIONS = Family(
    "hotswap_promotions_total",
    Kind.COUNTER,
    (*_MODEL, "outcome"),
    "Outcomes of promotions; one that is rolled back counts as serving before.",
)
PROMOTION_SECONDS = Family(
    "hotswap_promotion_seconds",
    Kind.HISTOGRAM,
    (*_MODEL, "step"),
    "Seconds that each step of a promotion took.",
    LONG_SECONDS,
)
GATE_SECONDS = Family(
    "hotswap_gate_seconds",
    Kind.HISTOGRAM,
    (*_MODEL, "gate", "outcome"),
    "Seconds that a gate took for its verdict.",
    LONG_SECONDS,
)
ROLLBACKS = Family(
    "hotswap_rollbacks_total",
    Kind.COUNTER,
    (*_MODEL, "reason"),
    "Versions that were taken back after they had served, by what showed their fault.",
)
SWAPS = Family(
    "hotswap_swaps_total", Kind.COUNTER, _MODEL, "Changes of the version that new requests go to."
)
ENVIRONMENT_BUILDS = Family(
    "hotswap_environment_builds_total",
    Kind.COUNTER,
    (*_MODEL, "outcome"),
    "Environments that versions were to run in, by what came of looking for each.",
)
ENVIRONMENT_BUILD_SECONDS = Family(
    "hotswap_environment_build_seconds",
    Kind.HISTOGRAM,
    _MODEL,
    "Seconds that environments took that were built, downloads included.",
    LONG_SECONDS,
)
ENVIRONMENT_BUILDING = Family(
    "hotswap_environment_building",
    Kind.GAUGE,
    _MODEL,
    "1 while the environment of a version is being built.",
)
ENVIRONMENT_WAITING = Family(
    "hotswap_environment_waiting_seconds",
    Kind.GAUGE,
    _MODEL,
    "Seconds for which a promotion has waited for its version's environment; 0 where none does.",
)
READY = Family(
    "hotswap_ready", Kind.GAUGE, _MODEL, "1 where some worker of the serving version can answer."
)
PROMOTED = Family(
    "hotswap_promoted_version",
    Kind.GAUGE,
    _MODEL,
    "The version that the registry promotes, as of the last good look; none for runs.",
)
SERVED = Family(
    "hotswap_served_version", Kind.GAUGE, _MODEL, "The version that new requests go to."
)
PINNED = Family(
    "hotswap_pinned_version",
    Kind.GAUGE,
    _MODEL,
    "The version that serves whatever the registry promotes; none where none is pinned.",
)
REGISTRY_AGE = Family(
    "hotswap_registry_age_seconds",
    Kind.GAUGE,
    _MODEL,
    "Seconds since the last good look at the registry.",
)
FAILED_PASSES = Family(
    "hotswap_failed_passes",
    Kind.GAUGE,
    _MODEL,
    "Passes in a row that the watcher could not finish.",
)
MODEL_INFO = Family(
    "hotswap_model_info",
    Kind.GAUGE,
    (*_VERSION, "digest", "run_id", "python", "predictor"),
    "1 for the version that serves: its files, run, Python, and its compiled predictors' state.",
)
PENDING = Family(
    "hotswap_pending_requests", Kind.GAUGE, _VERSION, "Requests that wait for a worker."
)
UNANSWERED = Family(
    "hotswap_unanswered_requests",
    Kind.GAUGE,
    _VERSION,
    "Requests without an answer so far: those that wait, and those that a worker has.",
)
WORKERS = Family(
    "hotswap_workers",
    Kind.GAUGE,
    (*_VERSION, "state"),
    "Workers of the serving version, by what they do.",
)
WORKERS_WANTED = Family(
    "hotswap_workers_wanted", Kind.GAUGE, _VERSION, "Workers that the serving version is to have."
)
HTTP_REQUESTS = Family(
    "hotswap_http_requests_total",
    Kind.COUNTER,
    ("route", "status"),
    "Answers over HTTP, by the pattern of the path ('' where there is none) and the status.",
)
GRPC_CALLS = Family(
    "hotswap_grpc_calls_total",
    Kind.COUNTER,
    ("method", "status"),
    "Calls over gRPC that ended, by the method and the status.",
)
CONNECTIONS_REFUSED = Family(
    "hotswap_connections_refused_total",
    Kind.COUNTER,
    ("reason",),
    "Connections over HTTP that were refused or given up, by reason.",
)
LOG_DROPPED = Family(
    "hotswap_log_dropped_total",
    Kind.COUNTER,
    (),
    "Lines of the log that were dropped because its reader was too slow.",
)
LOOP_LAG = Family(
    "hotswap_loop_lag_seconds",
    Kind.HISTOGRAM,
    (),
    "Seconds by which the event loop came late to a timer, ten times a second.",
    LAG_SECONDS,
)

FAMILIES = (
    *(REQUESTS, ERRORS, SHED, ROWS_ANSWERED, REQUEST_DURATION),
    *(BATCHES, BATCHED_REQUESTS, QUEUE, PREDICT, BATCH_ROWS, PENDING, UNANSWERED),
    *(ENGINE_FAULTS, ENGINE_FALLBACKS, WORKERS, WORKERS_WANTED, WORKER_LOADS),
    *(WORKERS_LOST, WORKERS_NOT_REPLACED, WORKERS_OVER_LIMIT),
    *(READY, SERVED, PROMOTED, PINNED, MODEL_INFO, REGISTRY_AGE, FAILED_PASSES),
    *(PROMOTIONS_BEGUN, PROMOTIONS, PROMOTION_SECONDS, GATE_SECONDS, ROLLBACKS, SWAPS),
    *(ENVIRONMENT_BUILDS, ENVIRONMENT_BUILD_SECONDS, ENVIRONMENT_BUILDING, ENVIRONMENT_WAITING),
    *(HTTP_REQUESTS, GRPC_CALLS, CONNECTIONS_REFUSED, LOG_DROPPED),
    LOOP_LAG,
)
"""All of them, in the order in which they are shown."""
