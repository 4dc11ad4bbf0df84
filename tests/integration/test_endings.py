"""However it ends: accepted requests are answered, and no process stays behind."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support import running_service
from tests.support.load import Hammer
from tests.support.mlflow_server import MlflowServer, unique_name
from tests.support.running_service import RunningService

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


def _all_gone(processes: list[psutil.Process]) -> None:
    """Fail unless every process ends within the time that is promised."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert alive == []


def _send_slow(service: RunningService, pool: ThreadPoolExecutor) -> list[Future[httpx.Response]]:
    """Send requests that take a while, and wait until the service has all of them."""
    rows = [{"a": float(number), "do": "sleep:0.3"} for number in range(IN_FLIGHT)]
    sent = [
        pool.submit(httpx.post, f"{service.url}/predict", json={"instances": [row]}, timeout=60)
        for row in rows
    ]
    service.wait_until(
        lambda: service.info()["serving"]["requests"] == IN_FLIGHT, "all requests accepted"
    )
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
    _all_gone(family)


def test_a_front_that_is_killed_takes_its_children_along(service: RunningService) -> None:
    """SIGKILL of the front while a worker is busy in C code that holds the GIL: nobody stays."""
    family = service.children()
    with ThreadPoolExecutor(1) as pool:
        body = {"instances": [{"a": 1.0, "do": "spin"}]}
        lost = pool.submit(httpx.post, f"{service.url}/predict", json=body, timeout=60)
        service.wait_until(lambda: service.info()["serving"]["requests"], "the request is accepted")
        service.process.kill()
        assert isinstance(lost.exception(), httpx.TransportError)
    _all_gone(family)


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
        _all_gone(family)


def _child_named(service: RunningService, name: str) -> int:
    """Return the process id that the log of its start tells."""
    started = [
        e["pid"]
        for e in service.events()
        if e.get("event") == "child started" and e["child"].startswith(name)
    ]
    pid: int = started[-1]
    return pid


def _fork_server(service: RunningService) -> psutil.Process:
    return next(c for c in service.children() if "forkserver" in " ".join(c.cmdline()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a fork server here")
def test_children_that_are_killed_cost_no_request(
    service: RunningService, mlflow_server: MlflowServer, unruly: str
) -> None:
    """Fork server, scout and worker are killed one by one under load; all requests are answered.

    And afterwards the service still follows the registry.
    """
    with Hammer(service.url, 8, instance=lambda number: {"a": number, "do": ""}) as hammer:

        def answered_since(count: int) -> Callable[[], bool]:
            return lambda: len(hammer.all) > count + 100

        for victim in (
            _child_named(service, "scout-poll"),
            service.worker_pids()[0],
            _fork_server(service).pid,
        ):
            os.kill(victim, signal.SIGKILL)
            service.wait_until(answered_since(len(hammer.all)), "answers go on")
        worker = service.worker_pids()[0]
        os.kill(worker, signal.SIGKILL)
        service.wait_until(
            lambda: service.worker_pids() not in ([], [worker]),
            "a new worker without the old fork server",
        )
        version = mlflow_server.register_unruly(unruly, 3.0)
        mlflow_server.set_alias(unruly, "champion", version)
        service.wait_serving(version)
        mlflow_server.set_alias(unruly, "champion", 1)
        service.wait_serving(1)
    assert hammer.failed == []
    assert hammer.mixed({"1": 2.0, version: 3.0}) == []


def test_a_request_that_kills_its_worker_fails_alone(service: RunningService) -> None:
    """The culprit gets a 500 that says so; what waited and ran beside it is answered."""
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        sent = _send_slow(service, pool)
        culprit = pool.submit(service.predict, {"a": 1.0, "do": "exit"})
        assert culprit.result().status_code == 500
        assert culprit.result().json()["type"] == "urn:mlflow-hotswap:worker-lost"
        assert [future.result().status_code for future in sent] == [200] * IN_FLIGHT
    service.wait_healthy()
