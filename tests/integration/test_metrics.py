"""`/metrics` of a live service fits what was sent to it and what happened to it."""

import gzip
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from tests.support import footprint
from tests.support.followed import ALIAS, pointer
from tests.support.grafana import (
    alert_expressions,
    dashboard_expressions,
    expressions,
    metrics_of,
)
from tests.support.grpc_caller import calling
from tests.support.inference_messages import typed
from tests.support.prometheus import Prometheus, scraping
from tests.support.scrapes import names, read, total
from tools import running_service
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService

REQUESTS = "hotswap_requests_total"
ROW = {"a": 1.0, "do": ""}
OVER = {"a": 99.0, "do": ""}
NEVER = {
    *("hotswap_engine_faults_total", "hotswap_engine_fallbacks_total"),
    "hotswap_connections_refused_total",
}
"""What never happens here: `test_engine_faults.py` and `test_wire.py` have those."""
OTHERS = Path(__file__).parents[1] / "support" / "other_dashboards.yml"


@dataclass
class Measured:
    """A service, its model, and how many requests each outcome had so far."""

    server: MlflowServer
    service: RunningService
    name: str
    grpc_address: str
    ok: int = 0
    rows: int = 0
    invalid: int = 0
    failed: int = 0
    refused: int = 0
    gone: int = 0

    def scrape(self) -> dict[str, float]:
        """Return what a scrape shows now."""
        return read(self.service.get("/metrics").raise_for_status().text)

    def predict(self, *rows: object) -> int:
        """Ask for predictions, count what came of it, and return the status."""
        status = self.service.predict(*rows).status_code
        self.ok += status == 200
        self.rows += len(rows) * (status == 200)
        self.invalid += status == 400
        self.failed += status == 500
        self.refused += status == 503
        return status

    def call(self, do: str, **more: float) -> bool:
        """Ask for one row by gRPC; return whether it was answered."""
        inputs = [typed("a", "FP64", [1], [1.0]), typed("do", "BYTES", [1], [do])]
        with calling(self.grpc_address) as caller:
            request = ModelInferRequest(inputs=inputs)
            if more:
                return caller.refused("ModelInfer", request, **more)[0] != "DEADLINE_EXCEEDED"
            return len(caller("ModelInfer", request).outputs) == 1

    def promote(self, version: int) -> None:
        """Point the alias at a version."""
        self.server.set_alias(self.name, ALIAS, version)

    def wait(self, amount: float, name: str, *labels: str) -> None:
        """Wait until the samples of a name with these labels are so many together."""
        self.service.wait_until(
            lambda: total(self.scrape(), name, *labels) == amount, f"{name} {labels} is {amount}"
        )


@pytest.fixture(scope="module")
def measured(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Measured]:
    """Serve a good version; one that can't be loaded and one that fails large numbers wait."""
    name = unique_name("measured")
    mlflow_server.register_unruly(name, 2.0)
    mlflow_server.register_unruly(name, on_load="raise")
    mlflow_server.register_unruly(name, 3.0, limit=50.0)
    mlflow_server.set_alias(name, ALIAS, 1)
    port = free_port()
    service = running_service.start(
        tmp_path_factory.mktemp("measured"),
        mlflow_server.uri,
        model_uri=pointer(name),
        grpc_port=port,
        workers=1,
        max_queue_rows=4,
        admin_open="true",
        metrics_compat="triton,kserve,mlserver",
    )
    with footprint.ending_clean(service):
        yield Measured(mlflow_server, service, name, f"127.0.0.1:{port}")


@pytest.fixture(scope="module", autouse=True)
def scraped(
    measured: Measured, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus | None]:
    """Let a Prometheus scrape the service from the beginning on; None where none is installed."""
    if shutil.which("prometheus") is None:
        yield None
        return
    target = measured.service.url.removeprefix("http://")
    with scraping(tmp_path_factory.mktemp("prometheus"), target) as found:
        measured.service.wait_until(found.is_ready, "Prometheus is ready")
        yield found


@pytest.fixture
def watched(measured: Measured, scraped: Prometheus | None) -> None:
    """Wait for the first scrape, 5 s after Prometheus began: of what happens later it sees all."""
    if scraped is not None:
        measured.service.wait_until(partial(scraped.now, REQUESTS), "it is scraped")


@pytest.fixture
def prometheus(scraped: Prometheus | None) -> Prometheus:
    """Return the Prometheus that has scraped the service so far."""
    if scraped is None:
        pytest.skip("prometheus is in Debian's `prometheus`")
    return scraped


def test_what_is_counted_is_what_was_sent(measured: Measured) -> None:
    """Every protocol's requests, answered ones and those that their callers got wrong."""
    for count in range(30):
        assert measured.predict(*[ROW] * (1 + count % 3)) == 200
    for _ in range(5):
        assert measured.predict({"a": "no number", "do": ""}) == 400
    scoring = {"dataframe_records": [ROW, ROW]}
    assert measured.service.post("/invocations", scoring).status_code == 200
    tensors = [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "do", "shape": [1], "datatype": "BYTES", "data": [""]},
    ]
    path = f"/v2/models/{measured.service.get('/models').json()['models'][0]['name']}/infer"
    assert measured.service.post(path, {"inputs": tensors}).status_code == 200
    assert measured.call("")
    measured.ok += 3
    measured.rows += 4
    seen = measured.scrape()
    assert total(seen, REQUESTS, "outcome=ok", "version=1") == measured.ok
    assert total(seen, REQUESTS, "outcome=invalid") == measured.invalid
    assert total(seen, "hotswap_request_errors_total", "code=contract-violation") == 5
    assert total(seen, REQUESTS) == measured.ok + measured.invalid
    for protocol in ("mlflow", "oip", "grpc"):
        assert total(seen, REQUESTS, "outcome=ok", f"protocol={protocol}") == 1
    assert total(seen, REQUESTS, "outcome=ok", "protocol=native") == measured.ok - 3
    assert total(seen, "hotswap_rows_total") == measured.rows
    assert total(seen, "hotswap_request_duration_seconds_count") == measured.ok
    assert 0 < total(seen, "hotswap_batches_total") <= measured.ok
    assert total(seen, "hotswap_batched_requests_total") == measured.ok
    assert total(seen, "hotswap_loop_lag_seconds_count") > 0


def test_a_call_whose_caller_gives_up_is_counted_once(measured: Measured) -> None:
    """Whether the service or gRPC is first to see that its time is over."""
    assert not measured.call("sleep:0.5", timeout=0.1)
    sent = measured.ok + measured.invalid
    measured.wait(sent + 1, REQUESTS)
    seen = measured.scrape()
    assert total(seen, REQUESTS, "outcome=ok") == measured.ok
    measured.gone = int(total(seen, REQUESTS, "outcome=gone"))
    measured.refused = int(total(seen, "hotswap_shed_total", "reason=deadline-exceeded"))
    assert measured.gone + measured.refused == 1


def test_what_is_refused_is_counted_by_reason(measured: Measured) -> None:
    """Where more is asked than may wait, those that are answered and those that are not."""
    with ThreadPoolExecutor(12) as callers:
        slow = [{"a": 1.0, "do": "sleep:0.3"}]
        asked = [callers.submit(measured.predict, *slow) for _ in range(12)]
        measured.wait(1, "hotswap_workers", "state=busy")
        statuses = [one.result() for one in asked]
    assert set(statuses) == {200, 503}
    seen = measured.scrape()
    assert total(seen, REQUESTS, "outcome=refused") == measured.refused
    assert total(seen, "hotswap_shed_total") == measured.refused
    assert total(seen, "hotswap_shed_total", "reason=queue-rows") > 0
    assert total(seen, REQUESTS, "outcome=ok") == measured.ok
    assert total(seen, "hotswap_pending_requests") == 0


@pytest.mark.usefixtures("watched")
def test_promotions_are_counted_by_what_came_of_them(measured: Measured) -> None:
    """One that serves, one that a gate refuses, and one that is rolled back."""
    measured.wait(1, "hotswap_promotions_total", "outcome=serving")
    measured.promote(2)
    measured.wait(1, "hotswap_promotions_total", "outcome=refused")
    seen = measured.scrape()
    assert total(seen, "hotswap_gate_seconds_count", "gate=load", "outcome=refuse") == 1
    assert total(seen, "hotswap_promoted_version") == 2
    assert total(seen, "hotswap_served_version") == 1
    measured.promote(3)
    measured.wait(2, "hotswap_promotions_total", "outcome=serving")
    assert total(measured.scrape(), "hotswap_model_info", "version=3") == 1

    def is_rolled_back() -> bool:
        measured.predict(OVER)
        return total(measured.scrape(), "hotswap_rollbacks_total", "reason=probation") == 1

    measured.service.wait_until(is_rolled_back, "version 3 is rolled back")
    measured.wait(1, "hotswap_served_version")
    seen = measured.scrape()
    assert measured.failed > 0
    assert total(seen, REQUESTS, "outcome=failed", "version=3") == measured.failed
    assert total(seen, "hotswap_swaps_total") == 3
    for step in ("fetch", "load", "swap"):
        assert total(seen, "hotswap_promotion_seconds_count", f"step={step}") >= 2


def test_a_worker_that_is_killed_is_counted(measured: Measured) -> None:
    """It is lost, and its successor is loaded."""
    before = measured.scrape()
    (pid,) = measured.service.worker_pids()
    os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    measured.wait(1, "hotswap_workers_lost_total", "version=1")
    loads = total(before, "hotswap_worker_load_seconds_count", "version=1")
    measured.wait(loads + 1, "hotswap_worker_load_seconds_count", "version=1")
    measured.wait(1, "hotswap_workers", "state=idle", "version=1")
    assert total(measured.scrape(), "hotswap_workers_wanted") == 1


def test_every_request_was_counted_once(measured: Measured) -> None:
    """Whatever happened: nothing is lost by a swap, and nothing counts twice."""
    sent = measured.ok + measured.invalid + measured.failed + measured.refused + measured.gone
    seen = measured.scrape()
    assert total(seen, REQUESTS) == sent
    assert total(seen, "hotswap_rows_total") == measured.rows


def test_other_servers_names_say_the_same(measured: Measured) -> None:
    """With METRICS_COMPAT, under the labels that those servers have."""
    seen = measured.scrape()
    assert total(seen, "request_preprocess_seconds_sum") > 0
    # The first of MLflow's protocol: a worker finds out how MLflow writes answers.
    assert total(seen, "request_preprocess_seconds_count") == measured.ok - 1
    assert total(seen, "request_postprocess_seconds_count") == measured.ok - 1
    assert total(seen, "batch_request_queue_count") == measured.ok
    assert total(seen, "parallel_request_queue_count") == measured.ok
    assert total(seen, "request_explain_seconds_count") == 0
    assert total(seen, "nv_inference_request_success") == measured.ok
    assert total(seen, "nv_inference_count") == measured.rows
    assert total(seen, "nv_inference_request_failure", "reason=REJECTED") == measured.refused
    assert total(seen, "nv_inference_request_failure", "reason=BACKEND") == measured.failed
    assert total(seen, "request_predict_seconds_count") == measured.ok
    assert total(seen, "model_infer_request_success_total") == measured.ok
    assert total(seen, "model_infer_request_duration_count") == measured.ok


def test_a_scrape_is_negotiated_and_guarded(measured: Measured) -> None:
    """OpenMetrics where it is accepted, compressed where it is asked for, under our names alone."""
    get = measured.service.client.get
    plain = get("/metrics", headers={"accept-encoding": "identity"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in plain.headers
    open_metrics = get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.headers["content-encoding"] == "gzip"
    assert open_metrics.text.endswith("# EOF\n")
    refused = get("/metrics", headers={"host": "rebound.example.com"})
    assert refused.status_code == 403
    with httpx.stream(
        "GET", f"{measured.service.url}/metrics", headers={"accept-encoding": "gzip"}
    ) as answer:
        assert names(gzip.decompress(b"".join(answer.iter_raw())).decode()) == names(plain.text)


def test_the_dashboard_and_the_alerts_find_what_they_name(measured: Measured) -> None:
    """Each metric has a sample here, but for what is not shown before its first."""
    assert measured.service.post("/model/pin", {"version": "1"}).status_code == 200
    try:
        body = measured.service.get("/metrics").text
    finally:
        measured.service.client.request("DELETE", "/model/pin")
    named = {name for expression in expressions() for name in metrics_of(expression)}
    shown = {metric for name in names(body) for metric in metrics_of(name)}
    assert named - shown <= NEVER
    for name in NEVER:
        assert f"# TYPE {name} counter" in body


def test_prometheus_scrapes_it(measured: Measured, prometheus: Prometheus) -> None:
    """It reads every sample, evaluates every alert, and has the same numbers."""
    wait = measured.service.wait_until
    count = f"sum({REQUESTS})"
    sent = total(measured.scrape(), REQUESTS)
    wait(lambda: prometheus.now(count) == [sent], "all requests are there")
    for _ in range(3):
        measured.predict(ROW)
    wait(lambda: prometheus.now(count) == [sent + 3], "three more are there")
    (target,) = prometheus.told("/targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")

    def rules() -> list[Any]:
        (group,) = prometheus.told("/rules")["groups"]
        found: list[Any] = group["rules"]
        return found

    wait(lambda: all(rule["health"] == "ok" for rule in rules()), "each alert was evaluated")
    assert "HotswapDown" not in {rule["name"] for rule in rules() if rule["alerts"]}


def test_every_panel_of_our_dashboard_has_numbers(
    measured: Measured, prometheus: Prometheus
) -> None:
    """As Grafana draws it, of what happened to this service; each alert is evaluated, too."""
    pinned = "hotswap_pinned_version"
    assert measured.service.post("/model/pin", {"version": "1"}).status_code == 200
    try:
        measured.service.wait_until(lambda: prometheus.ever(pinned), "the pin is there")
        empty = {
            one
            for one in dashboard_expressions()
            if not any(map(math.isfinite, prometheus.ever(one)))
        }
    finally:
        measured.service.client.request("DELETE", "/model/pin")
    assert not [one for one in empty if not metrics_of(one) <= NEVER]
    for expression in alert_expressions():
        prometheus.now(expression)


def test_dashboards_of_other_servers_have_numbers(
    measured: Measured, prometheus: Prometheus
) -> None:
    """Each expression but those that are said to have none, with the reason."""
    assert measured.predict(ROW) == 200
    for dashboard in yaml.safe_load(OTHERS.read_text("utf-8")):
        for expression in dashboard["expressions"]:
            values = prometheus.ever(expression)
            assert any(map(math.isfinite, values)), (dashboard["name"], expression)
        for lacking in dashboard["lacking"]:
            values = prometheus.ever(lacking["expression"])
            assert not any(map(math.isfinite, values)), lacking


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's `prometheus`")
def test_promtool_has_nothing_to_say(measured: Measured, tmp_path: Path) -> None:
    """Its rules on names, units and texts hold for our own metrics."""
    ours = tmp_path / "scrape"
    lines = measured.service.get("/metrics").text.splitlines(keepends=True)
    ours.write_text("".join(line for line in lines if "hotswap_" in line), encoding="utf-8")
    with ours.open("rb") as scrape:
        checked = subprocess.run(
            ["promtool", "check", "metrics"],  # noqa: S607 - wherever it is installed
            stdin=scrape,
            capture_output=True,
            check=False,
        )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
