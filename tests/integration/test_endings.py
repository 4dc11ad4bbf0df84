"""However it ends: accepted requests are answered, and no process stays behind."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support import footprint
from tools import running_service
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

GONE_WITHIN_S = 5.0
IN_FLIGHT = 6

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="sends POSIX signals; Windows has its own ways to end"
)


@pytest.fixture(scope="module")
def unruly(mlflow_server: MlflowServer) -> str:
    """Register a model that does as its rows say, with one version at an alias."""
    name = unique_name("unruly")
    mlflow_server.set_alias(name, "champion", mlflow_server.register_unruly(name, 2.0))
    return name


@pytest.fixture
def service(mlflow_server: MlflowServer, unruly: str, tmp_path: Path) -> Iterator[RunningService]:
    """Start a service that serves the unruly model."""
    with running_service.start(
        tmp_path, mlflow_server.uri, model_uri=f"models:/{unruly}@champion"
    ) as running:
        yield running


def _send_slow(service: RunningService, pool: ThreadPoolExecutor) -> list[Future[httpx.Response]]:
    """Send requests that take a while, and wait until the service has all of them."""
    rows = [{"a": float(number), "do": "sleep:0.3"} for number in range(IN_FLIGHT)]
    sent = [
        pool.submit(httpx.post, f"{service.url}/predict", json={"instances": [row]}, timeout=60)
        for row in rows
    ]

    def accepted() -> bool:
        serving = service.info()["serving"]
        # On a busy machine the first may have been answered before the last one comes.
        return int(serving["requests"] + serving["answered"]) == IN_FLIGHT

    service.wait_until(accepted, "all requests accepted")
    return sent


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM"),
        pytest.param(lambda pid: os.killpg(pid, signal.SIGTERM), id="SIGTERM-to-the-group"),
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C"),
    ],
)
def test_a_polite_end_answers_what_was_accepted(
    service: RunningService, end: Callable[[int], None]
) -> None:
    """Requests that wait and run when the signal comes are answered, and all processes end."""
    family = service.children()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        sent = _send_slow(service, pool)
        end(service.process.pid)
        answers = [future.result() for future in sent]
    assert [answer.status_code for answer in answers] == [200] * IN_FLIGHT
    assert [answer.json()["predictions"][0]["y"] for answer in answers] == [
        2.0 * number for number in range(IN_FLIGHT)
    ]
    service.process.wait(running_service.STOP_TIMEOUT_S)
    footprint.all_gone(family)


def test_an_end_right_after_the_start_waits_for_nothing(
    mlflow_server: MlflowServer, unruly: str, tmp_path: Path
) -> None:
    """The fork server is still importing, and nobody needs it any more."""
    with running_service.start(
        tmp_path, mlflow_server.uri, model_uri=f"models:/{unruly}@champion", wait=False
    ) as service:
        service.wait_until(service.children, "a child is being started")
        family = service.children()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(GONE_WITHIN_S)
        footprint.all_gone(family)


def test_a_request_that_kills_its_worker_fails_alone(service: RunningService) -> None:
    """The culprit gets a 500 that says so; what waited and ran beside it is answered."""
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        sent = _send_slow(service, pool)
        culprit = pool.submit(service.predict, {"a": 1.0, "do": "exit"})
        assert culprit.result().status_code == 500
        assert culprit.result().json()["type"] == "urn:mlflow-hotswap:worker-lost"
        assert [future.result().status_code for future in sent] == [200] * IN_FLIGHT
    service.wait_healthy()
