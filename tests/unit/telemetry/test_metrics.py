"""What is counted of a deployment's events, and what a scrape shows of it."""

import msgspec
import pytest

from service.core import errors
from service.core.errors import (
    ContractViolationError,
    ModelFailedError,
    NoVersionError,
    OverloadedError,
    ServiceError,
)
from service.core.events import PromotionOutcome, Trigger
from service.core.protocols import WireProtocol
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.telemetry.metrics.metrics import KEPT_S
from service.telemetry.metrics.observer import MetricsObserver
from service.telemetry.metrics.outcomes import CODES_OF_FAULTS as CODES
from service.telemetry.metrics.outcomes import INTERNAL, REFUSALS, outcome_of
from service.telemetry.observer import EVENTS, NullObserver
from tests.support.fake_source import a_version
from tests.support.metered import SERVING, Service
from tests.unit.telemetry.test_observer import TOLD

NATIVE = WireProtocol.NATIVE
ONE, TWO = a_version(1), a_version(2)
DURATION = "hotswap_request_duration_seconds"
NOT_COUNTED = {
    "environment_progressed": "how far a build is stands in /model/info, and that one is under way",
    "request_detailed": "it is for other servers' names alone: see test_compat",
    "version_stored": "how long it took is the step `fetch`, and a digest is no number",
}
"""Events that no metric has, and why."""


async def test_every_event_is_counted_or_said_why_not(service: Service) -> None:
    """An event that is new to the protocol has a number, too."""
    for event in EVENTS:
        has_own = getattr(MetricsObserver, event) is not getattr(NullObserver, event)
        assert has_own is (event not in NOT_COUNTED), event
    for event in set(EVENTS) - set(NOT_COUNTED):
        before = msgspec.json.encode(await _numbers(service))
        getattr(service.metrics.observer("m"), event)(*TOLD[event])
        if event != "state_entered":  # it says which numbers go, and when
            assert msgspec.json.encode(await _numbers(service)) != before, event


async def _numbers(service: Service) -> dict[str, float]:
    return {name: value for name, value in (await service.scrape()).items() if "_info" not in name}


async def test_a_scrape_is_exact(service: Service, observer: MetricsObserver) -> None:
    """Names, labels, values and buckets, as Prometheus reads them."""
    observer.request_answered(ONE, NATIVE, 3, 0.0005)
    observer.request_answered(ONE, NATIVE, 1, 0.004)
    observer.batch_ended(ONE, 2, 4, 0.001, 0.002)
    observer.batch_ended(ONE, 1, 0, 0.001, 0.002)
    observer.request_failed(ONE, NATIVE, ModelFailedError("it raised"), 0.1)
    observer.request_failed(ONE, NATIVE, ContractViolationError("", None, "a", "b"), 0.1)
    observer.request_failed(ONE, NATIVE, OverloadedError("too much", 1.0, "queue-rows"), 0.0)
    observer.request_failed(None, NATIVE, NoVersionError("none"), 0.0)
    observer.engine_faults(ONE, {"trees": 2})
    observer.engine_faults(ONE, {"trees": 1})
    observer.engine_fallbacks(ONE, {"trees": 5})
    observer.worker_lost(ONE, "killed")
    seen = await service.scrape()
    expected = {
        "hotswap_requests_total{model=m,outcome=ok,protocol=native,version=1}": 2,
        "hotswap_requests_total{model=m,outcome=failed,protocol=native,version=1}": 1,
        "hotswap_requests_total{model=m,outcome=invalid,protocol=native,version=1}": 1,
        "hotswap_requests_total{model=m,outcome=refused,protocol=native,version=1}": 1,
        "hotswap_requests_total{model=m,outcome=refused,protocol=native,version=}": 1,
        "hotswap_request_errors_total{code=overloaded,model=m,version=1}": 1,
        "hotswap_shed_total{model=m,reason=queue-rows,version=1}": 1,
        "hotswap_shed_total{model=m,reason=no-version,version=}": 1,
        "hotswap_rows_total{model=m,version=1}": 4,
        f"{DURATION}_bucket{{le=0.0005,model=m,protocol=native,version=1}}": 1,
        f"{DURATION}_bucket{{le=0.0025,model=m,protocol=native,version=1}}": 1,
        f"{DURATION}_bucket{{le=0.005,model=m,protocol=native,version=1}}": 2,
        f"{DURATION}_bucket{{le=+Inf,model=m,protocol=native,version=1}}": 2,
        f"{DURATION}_count{{model=m,protocol=native,version=1}}": 2,
        f"{DURATION}_sum{{model=m,protocol=native,version=1}}": pytest.approx(0.0045),
        "hotswap_batches_total{model=m,version=1}": 2,
        "hotswap_batched_requests_total{model=m,version=1}": 3,
        "hotswap_batch_rows_count{model=m,version=1}": 1,
        "hotswap_batch_rows_bucket{le=4.0,model=m,version=1}": 1,
        "hotswap_engine_faults_total{engine=trees,model=m,version=1}": 3,
        "hotswap_engine_fallbacks_total{engine=trees,model=m,version=1}": 5,
        "hotswap_workers_lost_total{model=m,version=1}": 1,
        "hotswap_promoted_version{model=m}": 2,
        "hotswap_registry_age_seconds{model=m}": 1.5,
        "hotswap_ready{model=m}": 1,
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not any(name.startswith("hotswap_served_version") for name in seen)


async def test_refusals_and_faults_are_counted_from_0_on(
    service: Service, observer: MetricsObserver
) -> None:
    """So that the first of a version is an increase; what callers get wrong begins with it."""
    observer.state_entered(TWO, State.FETCHING, "")
    seen = await service.scrape()
    labels = "model=m,{}={},version=2"
    shed = {f"hotswap_shed_total{{{labels.format('reason', one)}}}" for one in REFUSALS}
    errors = [f"hotswap_request_errors_total{{code={code},model=m,version=2}}" for code in CODES]
    assert {name for name in seen if name.startswith("hotswap_shed_total")} == shed
    assert sorted(name for name in seen if "_request_errors_" in name) == sorted(errors)
    assert not any(seen[name] for name in (*shed, *errors))
    assert set(REFUSALS) == {
        *("queue-rows", "queue-bytes", "service-bytes", "time", "late", "deadline"),
        *("queue-timeout", "deadline-exceeded", "shutting-down"),
    }


async def test_a_protocol_is_shown_once_it_was_used(
    service: Service, observer: MetricsObserver
) -> None:
    """From then on for each version, so that a new one's counters begin at 0."""
    observer.request_failed(ONE, WireProtocol.GRPC, ModelFailedError("it raised"), 0.1)
    observer.request_answered(ONE, WireProtocol.GRPC, 3, 0.25)
    observer.request_answered(ONE, WireProtocol.MLFLOW, 1, 0.5)
    observer.state_entered(TWO, State.LOADING, "")
    seen = await service.scrape()
    shown = "hotswap_requests_total{{model=m,outcome={},protocol={},version={}}}"
    expected = {
        shown.format("ok", "native", 1): 0,
        shown.format("ok", "mlflow", 1): 1,
        shown.format("failed", "grpc", 1): 1,
        shown.format("ok", "grpc", 1): 1,
        shown.format("failed", "grpc", 2): 0,
        shown.format("ok", "oip", 1): None,
        shown.format("ok", "oip", 2): None,
        f"{DURATION}_sum{{model=m,protocol=mlflow,version=1}}": 0.5,
        f"{DURATION}_sum{{model=m,protocol=grpc,version=1}}": 0.25,
        f"{DURATION}_sum{{model=m,protocol=oip,version=1}}": None,
        "hotswap_rows_total{model=m,version=1}": 4,
    }
    assert {name: seen.get(name) for name in expected} == expected


async def test_promotions_are_counted_by_step_gate_and_outcome(
    service: Service, observer: MetricsObserver
) -> None:
    """A version that is rolled back served before."""
    observer.promotion_began(TWO, Trigger.POLL)
    observer.step_ended(TWO, "fetch", 0.2)
    observer.gate_ended(TWO, Verdict("load", Outcome.PASS, "loaded", 0.7))
    observer.serving_changed(TWO, ONE)
    observer.promotion_ended(TWO, PromotionOutcome.SERVING, "")
    observer.serving_changed(ONE, TWO)
    observer.promotion_ended(TWO, PromotionOutcome.ROLLED_BACK, "it failed 3 of 4")
    seen = await service.scrape()
    expected = {
        "hotswap_promotions_begun_total{model=m,trigger=poll}": 1,
        "hotswap_promotions_total{model=m,outcome=serving}": 1,
        "hotswap_promotions_total{model=m,outcome=rolled back}": 1,
        "hotswap_rollbacks_total{model=m,reason=probation}": 1,
        "hotswap_swaps_total{model=m}": 2,
        "hotswap_promotion_seconds_sum{model=m,step=fetch}": 0.2,
        "hotswap_gate_seconds_bucket{gate=load,le=1.0,model=m,outcome=pass}": 1,
        "hotswap_gate_seconds_bucket{gate=load,le=0.5,model=m,outcome=pass}": 0,
    }
    assert {name: seen.get(name) for name in expected} == expected


async def test_what_serves_is_shown_with_its_workers(service: Service) -> None:
    """By its number, and by what it is."""
    service.serving = SERVING
    seen = await service.scrape()
    info = "digest=abc,model=m,predictor=compiled,python=3.11.9,run_id=run,version=1"
    expected = {
        "hotswap_served_version{model=m}": 1,
        f"hotswap_model_info{{{info}}}": 1,
        "hotswap_pending_requests{model=m,version=1}": 2,
        "hotswap_unanswered_requests{model=m,version=1}": 3,
        "hotswap_workers{model=m,state=busy,version=1}": 1,
        "hotswap_workers_wanted{model=m,version=1}": 2,
    }
    assert {name: seen.get(name) for name in expected} == expected


ANSWERED = "hotswap_requests_total{model=m,outcome=ok,protocol=native,version=1}"


@pytest.mark.parametrize("version", ["m-4f1c", "8" * 32, "0b" * 16])
async def test_an_id_of_a_run_or_logged_model_is_no_number(service: Service, version: str) -> None:
    """It stands in labels alone."""
    service.serving = msgspec.structs.replace(SERVING, version=version)
    seen = await service.scrape()
    assert "hotswap_served_version{model=m}" not in seen
    assert seen[f"hotswap_workers_wanted{{model=m,version={version}}}"] == 2


async def test_a_version_that_is_gone_is_shown_for_ten_minutes(
    service: Service, observer: MetricsObserver
) -> None:
    """With its last increments; then it is not, and what is told late begins anew."""
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    service.models["m"] = frozenset({"2"})
    observer.state_entered(ONE, State.UNLOADED, "")
    service.now_s = KEPT_S
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    assert (await service.scrape())[ANSWERED] == 2
    service.now_s += 1
    assert ANSWERED not in (await service.scrape())


async def test_a_version_that_comes_again_counts_on(
    service: Service, observer: MetricsObserver
) -> None:
    """Within ten minutes nothing is lost, and nothing counts twice."""
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    service.models["m"] = frozenset()
    observer.state_entered(ONE, State.UNLOADED, "")
    service.now_s = KEPT_S - 1
    service.models["m"] = frozenset({"1"})
    observer.state_entered(ONE, State.FETCHING, "")
    service.now_s += 2 * KEPT_S
    observer.request_answered(a_version(1), NATIVE, 1, 0.1)
    assert (await service.scrape())[ANSWERED] == 2


async def test_a_version_that_another_deployment_of_the_name_has_stays(
    service: Service, observer: MetricsObserver
) -> None:
    """A deployment that makes place for one with other settings unloads what that one serves."""
    successor = service.metrics.observer("m")
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    successor.request_answered(ONE, NATIVE, 1, 0.1)
    observer.state_entered(ONE, State.UNLOADED, "")
    await service.scrape()
    service.now_s = 2 * KEPT_S
    successor.request_answered(ONE, NATIVE, 1, 0.1)
    assert (await service.scrape())[ANSWERED] == 3


async def test_a_model_that_goes_and_comes_counts_on(
    service: Service, observer: MetricsObserver
) -> None:
    """And after ten minutes without it, nothing of it is left."""
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    observer.promotion_began(ONE, Trigger.POLL)
    del service.models["m"]
    service.now_s = KEPT_S - 1
    assert (await service.scrape())[ANSWERED] == 1
    service.models["m"] = frozenset({"1"})
    service.metrics.observer("m").request_answered(ONE, NATIVE, 1, 0.1)
    assert (await service.scrape())[ANSWERED] == 2
    del service.models["m"]
    await service.scrape()
    service.now_s += KEPT_S + 1
    assert not [name for name in (await service.scrape()) if "model=m" in name]


async def test_without_a_scrape_little_is_kept(service: Service, observer: MetricsObserver) -> None:
    """However many versions come and go."""
    for number in range(100):
        service.now_s += KEPT_S
        observer.state_entered(a_version(number), State.FETCHING, "")
        observer.state_entered(a_version(number), State.FAILED, "")
    assert len((await service.metrics.snapshot()).models["m"].versions) <= 3


async def test_two_registered_models_versions_of_one_number_are_one_series(
    service: Service, observer: MetricsObserver
) -> None:
    """A name may be given to another registered model: a series never stands there twice."""
    observer.request_answered(ONE, NATIVE, 1, 0.1)
    observer.request_answered(msgspec.structs.replace(ONE, name="other"), NATIVE, 1, 0.1)
    assert (await service.scrape())[ANSWERED] == 2


def test_every_error_that_a_request_can_meet_has_an_outcome() -> None:
    """What is `internal` is listed here: nothing that callers bring about."""
    internal = {
        error.code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, ServiceError)
        if outcome_of(error.code) == INTERNAL
    }
    assert internal == {
        # Any other exception is a defect of ours.
        "internal",
        # Met before or beside a request to a model.
        *("unauthorized", "permission-denied", "forbidden", "webhook-unsigned", "webhook-spent"),
        *("unknown-model", "no-default-model"),
        # Of promotions.
        *("child-not-started", "registry-unavailable", "fetch-failed", "store-corrupt"),
        *("state-unreadable", "pin-unknown", "signature", "version-refused"),
        *("nothing-promoted", "superseded", "reload-timeout"),
        *("environment-refused", "environment-not-built"),
    }
