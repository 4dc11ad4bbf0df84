"""What is shown under the names of other servers."""

import pytest

from service.core.errors import ModelFailedError, OverloadedError
from service.core.protocols import WireProtocol
from service.core.states import State
from service.telemetry.metrics.compat import Compat
from service.telemetry.metrics.metrics import KEPT_S
from tests.support.fake_source import a_version
from tests.support.metered import SERVING, Service

NATIVE = WireProtocol.NATIVE
ONE, TWO = a_version(1), a_version(2)


@pytest.fixture
def service() -> Service:
    """Return a service that shows other servers' names."""
    return Service(detailed=True)


async def test_other_servers_names(service: Service) -> None:
    """By the labels that those dashboards ask for, and in their units."""
    service.serving = SERVING
    observer = service.metrics.observer("m")
    observer.request_answered(ONE, WireProtocol.OIP, 3, 0.25)
    observer.request_detailed(ONE, 0.25, 0.0625, 0.03125, 2, 4)
    observer.request_answered(TWO, NATIVE, 3, 0.25)
    observer.request_detailed(TWO, 0.25, None, None, 0, 1)
    observer.batch_ended(ONE, 2, 3, 0.5, 0.125)
    observer.request_failed(ONE, NATIVE, ModelFailedError("it raised"), 0.1)
    observer.request_failed(ONE, NATIVE, OverloadedError("too much"), 0.0)
    assert not [name for name in (await service.scrape()) if not name.startswith("hotswap_")]
    seen = await service.scrape(*Compat)
    expected = {
        "nv_inference_request_success{model=m,version=1}": 1,
        "nv_inference_request_failure{model=m,reason=BACKEND,version=1}": 1,
        "nv_inference_request_failure{model=m,reason=REJECTED,version=1}": 1,
        "nv_inference_request_failure{model=m,reason=CANCELED,version=1}": 0,
        "nv_inference_request_failure{model=m,reason=OTHER,version=1}": 0,
        "nv_inference_count{model=m,version=1}": 3,
        "nv_inference_exec_count{model=m,version=1}": 1,
        "nv_inference_request_duration_us{model=m,version=1}": 250_000,
        "nv_inference_queue_duration_us{model=m,version=1}": 1_000_000,
        "nv_inference_compute_input_duration_us{model=m,version=1}": 62_500,
        "nv_inference_compute_infer_duration_us{model=m,version=1}": 250_000,
        "nv_inference_compute_output_duration_us{model=m,version=1}": 31_250,
        "nv_inference_pending_request_count{model=m,version=1}": 2,
        "request_preprocess_seconds_count{model_name=m}": 1,
        "request_preprocess_seconds_sum{model_name=m}": 0.0625,
        "request_preprocess_seconds_bucket{le=0.075,model_name=m}": 1,
        "request_predict_seconds_bucket{le=0.25,model_name=m}": 2,
        "request_predict_seconds_bucket{le=0.1,model_name=m}": 0,
        "request_predict_seconds_count{model_name=m}": 2,
        "request_predict_seconds_sum{model_name=m}": 0.25 + 0.15625,
        "request_postprocess_seconds_count{model_name=m}": 1,
        "request_postprocess_seconds_sum{model_name=m}": 0.03125,
        "request_explain_seconds_bucket{le=+Inf,model_name=m}": 0,
        "request_explain_seconds_count{model_name=m}": 0,
        "model_infer_request_success_total{model=m,version=1}": 1,
        "model_infer_request_failure_total{model=m,version=1}": 2,
        "model_infer_request_duration_count{model=m,version=1}": 1,
        "model_infer_request_duration_sum{model=m,version=1}": 0.25,
        "batch_request_queue_bucket{le=1.0,model_name=m,model_version=1}": 0,
        "batch_request_queue_bucket{le=2.5,model_name=m,model_version=1}": 1,
        "batch_request_queue_sum{model_name=m,model_version=1}": 2,
        "batch_request_queue_bucket{le=0.0,model_name=m,model_version=2}": 1,
        "parallel_request_queue_bucket{le=1.0}": 1,
        "parallel_request_queue_count{}": 2,
        "parallel_request_queue_sum{}": 5,
    }
    assert {name: seen.get(name) for name in expected} == expected


async def test_a_series_of_several_versions_never_decreases(service: Service) -> None:
    """Ten minutes after one of the versions is gone: Prometheus takes less for a new start."""
    observer = service.metrics.observer("m")
    for version in (ONE, TWO):
        observer.request_detailed(version, 0.25, 0.0625, 0.03125, 0, 1)
    service.models["m"] = frozenset({"2"})
    observer.state_entered(ONE, State.UNLOADED, "")
    service.now_s = KEPT_S + 1
    seen = await service.scrape(*Compat)
    assert "nv_inference_count{model=m,version=1}" not in seen
    for step in ("preprocess", "predict", "postprocess"):
        assert seen[f"request_{step}_seconds_count{{model_name=m}}"] == 2
    assert seen["parallel_request_queue_count{}"] == 2


async def test_what_a_request_found_outlives_its_model(service: Service) -> None:
    """MLServer's number has no label of a model."""
    service.metrics.observer("m").request_detailed(ONE, 0.25, None, None, 0, 1)
    del service.models["m"]
    await service.scrape(*Compat)
    service.now_s = KEPT_S + 1
    seen = await service.scrape(*Compat)
    assert not [name for name in seen if "=m" in name]
    assert seen["parallel_request_queue_count{}"] == 1


async def test_a_service_that_shows_none_counts_nothing_for_them() -> None:
    """What nobody sees costs nothing."""
    service = Service()
    service.metrics.observer("m").request_detailed(ONE, 0.25, 0.0625, 0.03125, 0, 1)
    seen = await service.scrape(*Compat)
    own = ("request_", "batch_request_queue", "parallel_request_queue", "nv_inference_compute_")
    assert not any(value for name, value in seen.items() if name.startswith(own))
