"""Traces and metrics of a live service, as a collector gets them over HTTP."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from tests.support.followed import ALIAS, pointer
from tests.support.grpc_caller import calling
from tests.support.inference_messages import typed
from tests.support.otlp_collector import ERROR, Collector, Span
from tests.support.python_models import SUPPORT
from tests.support.scrapes import read
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService

CREDENTIAL = "collector-1d9e6b42"
VALUE = 4711.25
"""What callers send, and no span may have."""
SERVER, INTERNAL = 2, 1
STEPS = {"decode", "queue", "predict", "encode"}
CALLER = "00f067aa0ba902b7"
STATE = "vendor=place,other=1"
UNKNOWN = "0" * 16
HANGING_S = 60
"""For so long an exporter waits for a collector that hangs."""


@dataclass
class Traced:
    """A service that exports to a collector, and what its model says of the current span."""

    service: RunningService
    server: MlflowServer
    collector: Collector
    name: str
    grpc_address: str
    report: Path
    traces: int = 0

    def parent(self, *, sampled: bool = True) -> dict[str, str]:
        """Return the headers of a caller's trace that nobody had before."""
        self.traces += 1
        flags = "01" if sampled else "00"
        return {
            "traceparent": f"00-{self.traces:032x}-{CALLER}-{flags}",
            "tracestate": STATE,
        }

    @property
    def trace(self) -> str:
        """The trace of the last caller."""
        return f"{self.traces:032x}"

    def spans(self, count: int = 5) -> dict[str, Span]:
        """Return the last caller's spans by name, once there are so many."""
        return self.collector.wait(self.trace, lambda spans: len(spans) >= count)

    def seen_by_model(self) -> list[dict[str, Any]]:
        """Return what the model saw at each prediction."""
        return [json.loads(line) for line in self.report.read_text("utf-8").splitlines()]

    def promote(self, version: int) -> None:
        """Point the alias at a version."""
        self.server.set_alias(self.name, ALIAS, version)


@pytest.fixture(scope="module")
def traced(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    """Serve a version that traces itself; one that can't be loaded waits, and a good one."""
    folder, name, port = tmp_path_factory.mktemp("traced"), unique_name("traced"), free_port()
    report = folder / "report"
    report.touch()
    for fault in ("", "no such oven", ""):
        config = {"report": str(report), "fault": fault}
        register_python_model(mlflow_server, name, SUPPORT / "tracing_model.py", config)
    mlflow_server.set_alias(name, ALIAS, 1)
    with Collector().running() as collector:
        service = running_service.start(
            folder,
            mlflow_server.uri,
            model_uri=pointer(name),
            grpc_port=port,
            workers=1,
            access_log="true",
            probation_s=0.5,
            raw_body_bytes=2_000,
            otel_exporter_otlp_endpoint=collector.url,
            otel_exporter_otlp_headers=f"api-key={CREDENTIAL}",
            otel_exporter_otlp_timeout=HANGING_S,
            otel_bsp_schedule_delay=50,
            otel_metric_export_interval=200,
        )
        with service:
            yield Traced(service, mlflow_server, collector, name, f"127.0.0.1:{port}", report)


def predict(traced: Traced, headers: dict[str, str]) -> int:
    """Ask `/predict`."""
    body = {"instances": [{"a": VALUE}]}
    return traced.service.post("/predict?q=secret", body, headers=headers).status_code


def scoring(traced: Traced, headers: dict[str, str]) -> int:
    """Ask by MLflow's protocol, in a form that a worker reads."""
    body = f"a\n{VALUE}\n".encode()
    headers = {**headers, "content-type": "text/csv"}
    return traced.service.client.post("/invocations", content=body, headers=headers).status_code


def inference(traced: Traced, headers: dict[str, str]) -> int:
    """Ask by the Open Inference Protocol."""
    (model,) = traced.service.get("/models").json()["models"]
    tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [VALUE]}
    path = f"/v2/models/{model['name']}/infer"
    return traced.service.post(path, {"inputs": [tensor]}, headers=headers).status_code


def by_framework(traced: Traced, headers: dict[str, str]) -> int:
    """Ask `/predict` in words that the framework's handler answers."""
    headers = {**headers, "accept": "application/json;q=0.9"}
    return predict(traced, headers)


def large(traced: Traced, headers: dict[str, str]) -> int:
    """Ask with a body that goes to the worker as it is."""
    body = {"instances": [{"a": VALUE}] * 200}
    return traced.service.post("/predict", body, headers=headers).status_code


@pytest.mark.parametrize(
    ("ask", "route"),
    [
        (predict, "/predict"),
        (by_framework, "/predict"),
        (large, "/predict"),
        (scoring, "/invocations"),
        (inference, "/v2/models/{name}/infer"),
    ],
)
def test_a_request_has_a_span_below_its_callers(
    traced: Traced, ask: Callable[[Traced, dict[str, str]], int], route: str
) -> None:
    """By each protocol: with a span for each of its steps, in which the model's own join."""
    assert ask(traced, {**traced.parent(), "x-request-id": f"r-{traced.traces}"}) == 200
    in_worker = ask in (large, scoring)
    spans = traced.spans(4 if in_worker else 5)
    own = spans.pop(f"POST {route}")
    assert (own.parent, own.kind, own.status, own.state) == (CALLER, SERVER, 0, STATE)
    assert own.service == "mlflow-hotswap"
    expected = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": 200,
        "mlflow.model.name": traced.name,
        "mlflow.model.version": "1",
        "hotswap.request.id": f"r-{traced.traces}",
        "hotswap.rows": 200 if ask is large else 1,
    }
    assert {key: own.attributes.get(key) for key in expected} == expected
    assert set(spans) == STEPS - ({"encode"} if in_worker else set())
    for step in spans.values():
        assert (step.parent, step.kind, step.status) == (own.id, INTERNAL, 0)
        assert 0 <= step.took_s <= own.took_s
    assert spans["predict"].attributes["hotswap.batch.requests"] == 1
    seen = traced.seen_by_model()[-1]
    assert (seen["trace"], seen["span"]) == (own.trace, spans["predict"].id)


def test_a_call_by_grpc_has_one_too(traced: Traced) -> None:
    """Its caller's context is in the metadata."""
    metadata = tuple(traced.parent().items())
    with calling(traced.grpc_address) as caller:
        request = ModelInferRequest(inputs=[typed("a", "FP64", [1], [VALUE])])
        caller("ModelInfer", request, metadata=metadata)
    spans = traced.spans()
    own = spans.pop("inference.GRPCInferenceService/ModelInfer")
    assert (own.parent, own.kind, own.status) == (CALLER, SERVER, 0)
    assert own.attributes["rpc.system.name"] == "grpc"
    assert own.attributes["rpc.response.status_code"] == "OK"
    assert own.attributes["mlflow.model.version"] == "1"
    assert set(spans) == STEPS
    assert traced.seen_by_model()[-1]["trace"] == own.trace


def test_a_call_by_grpc_that_fails_is_an_error(traced: Traced) -> None:
    """By the name of its status; what its caller got wrong is none."""
    values = {"INTERNAL": ("FP64", -VALUE), "INVALID_ARGUMENT": ("BYTES", str(VALUE))}
    for status, (datatype, value) in values.items():
        metadata = tuple(traced.parent().items())
        with calling(traced.grpc_address) as caller:
            request = ModelInferRequest(inputs=[typed("a", datatype, [1], [value])])
            assert caller.refused("ModelInfer", request, metadata=metadata)[0] == status
        own = traced.spans(2)["inference.GRPCInferenceService/ModelInfer"]
        assert own.attributes["rpc.response.status_code"] == status
        assert (own.status == ERROR) is (status == "INTERNAL")


def test_what_fails_is_an_error_and_what_its_caller_got_wrong_is_none(traced: Traced) -> None:
    """By its code; a message may hold what was sent."""
    post = traced.service.post
    headers = traced.parent()
    assert post("/predict", {"instances": [{"a": -VALUE}]}, headers=headers).status_code == 500
    failed = traced.spans(4)
    assert failed["POST /predict"].status == failed["predict"].status == ERROR
    assert failed["POST /predict"].attributes["error.type"] == "model-failed"
    headers = traced.parent()
    assert post("/predict", {"instances": [{"a": str(VALUE)}]}, headers=headers).status_code == 400
    wrong = traced.spans(2)
    assert wrong["POST /predict"].status == 0
    assert wrong["POST /predict"].attributes["hotswap.code"] == "contract-violation"
    assert wrong["decode"].status == ERROR


def test_what_is_not_sampled_is_not_traced(traced: Traced) -> None:
    """A caller that does not record its own part gets an answer and nothing else."""
    assert predict(traced, traced.parent(sampled=False)) == 200
    unsampled = traced.trace
    assert traced.seen_by_model()[-1]["span"] == UNKNOWN
    assert traced.service.get("/health/live").status_code == 200
    assert predict(traced, traced.parent()) == 200
    assert traced.spans()
    assert traced.collector.of(unsampled) == []
    assert not [span for span in traced.collector.spans if "health" in span.name]


def test_requests_of_one_batch_are_linked(traced: Traced) -> None:
    """The model's own spans have one parent, whose links lead to the others and back."""
    with ThreadPoolExecutor(8) as callers:
        for _ in range(20):
            first = traced.traces + 1
            parents = [traced.parent() for _ in range(8)]
            assert set(callers.map(lambda parent: predict(traced, parent), parents)) == {200}
            together = [
                traced.collector.wait(f"{number:032x}", lambda spans: len(spans) >= 5)["predict"]
                for number in range(first, traced.traces + 1)
            ]
            linked = [span for span in together if span.links]
            if linked:
                break
    assert linked
    by_id = {span.id: span for span in together}
    for span in linked:
        assert span.attributes["hotswap.batch.requests"] > 1
        for trace, other in span.links:
            assert by_id[other].trace == trace
            assert (span.trace, span.id) in by_id[other].links


def test_a_promotion_is_a_trace_of_its_steps_and_gates(traced: Traced) -> None:
    """One that a gate refuses, and one that serves, with what follows."""
    traced.promote(2)
    refused = _promotion(traced, "2", "refused", "gate artifacts")
    assert refused["promotion"].status == refused["load"].status == ERROR
    assert "no such oven" in refused["promotion"].attributes["hotswap.reason"]
    assert refused["load"].attributes["hotswap.verdict"] == "refuse"
    traced.promote(3)
    traced.service.wait_serving(3)
    served = _promotion(traced, "3", "serving", "drain")
    root = served["promotion"]
    assert root.status == 0
    assert root.attributes["mlflow.model.name"] == traced.name
    assert root.attributes["hotswap.trigger"] == "poll"
    for step in ("fetch", "load", "prove", "swap", "settle", "drain", "gate artifacts"):
        assert (served[step].parent, served[step].status) == (root.id, 0)
    for gate in ("gate contract", "gate smoke", "gate speed"):
        assert served[gate].parent == served["prove"].id
        assert served[gate].attributes["hotswap.reason"]
    lines = [line for line in traced.service.events() if line.get("trace_id") == root.trace]
    told = {line["event"] for line in lines}
    assert {"promotion noticed", "gate", "version serves"} <= told
    assert {line["span_id"] for line in lines} == {root.id}


def _promotion(traced: Traced, version: str, outcome: str, last: str) -> dict[str, Span]:
    """Return the spans of a version's promotion, once the last one has come."""
    found: list[Span] = []

    def has_come() -> bool:
        found[:] = [
            span
            for span in list(traced.collector.spans)
            if span.attributes.get("hotswap.outcome") == outcome
            and span.attributes.get("mlflow.model.version") == version
        ]
        return bool(found)

    traced.service.wait_until(has_come, "the promotion's span has come")
    return traced.collector.wait(
        found[0].trace, lambda spans: any(span.name == last for span in spans)
    )


def test_lines_of_a_traced_request_name_its_trace(traced: Traced) -> None:
    """What is logged while a request that is traced is answered."""
    body = {"instances": [{"a": -VALUE}]}
    assert traced.service.post("/predict", body, headers=traced.parent()).status_code == 500
    own = traced.spans(4)["POST /predict"]

    def lines() -> list[dict[str, Any]]:
        return [line for line in traced.service.events() if line.get("trace_id") == own.trace]

    # The access log's comes a moment later.
    traced.service.wait_until(
        lambda: "request" in {line["event"] for line in lines()}, "the request's line is there"
    )
    assert len(lines()) > 1
    assert {line["span_id"] for line in lines()} == {own.id}


def test_the_metrics_are_those_of_a_scrape(traced: Traced) -> None:
    """Under the same names and labels, but for what moves by itself."""
    moving = ("hotswap_loop_lag_seconds", "hotswap_registry_age_seconds")

    def still(numbers: dict[str, float]) -> dict[str, float]:
        return {name: n for name, n in numbers.items() if not name.startswith(moving)}

    def agree() -> bool:
        scraped = still(read(traced.service.get("/metrics").text))
        exported = still(traced.collector.numbers)
        return exported == scraped

    traced.service.wait_until(agree, "both say the same")


def test_no_span_has_what_was_sent_nor_a_credential(traced: Traced) -> None:
    """The exporter sends the credential; nothing else has it, the model least of all."""
    assert {head.get("api-key") for head in traced.collector.headers} == {CREDENTIAL}
    raw = traced.collector.raw
    for secret in (CREDENTIAL, str(VALUE), "q=secret"):
        assert secret.encode() not in raw
        assert secret not in traced.service.log.read_text("utf-8")
    names = traced.seen_by_model()[-1]["names"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in names
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in names


def test_a_collector_that_hangs_delays_nothing(traced: Traced) -> None:
    """Not the requests, and not the end of the service."""
    traced.collector.hangs.set()
    for _ in range(200):
        assert predict(traced, traced.parent()) == 200
    traced.service.wait_until(lambda: traced.collector.hung >= 2, "both exports hang")
    began_s = time.monotonic()
    assert predict(traced, traced.parent()) == 200
    assert traced.service.stop() == 143
    assert time.monotonic() - began_s < HANGING_S / 2
