"""A worker of the version that serves is lost, hangs, or is left alone by its caller."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from service.settings.service import ServiceSettings
from tests.support import followed, footprint
from tests.support.followed import ALIAS
from tests.support.footprint import Footprint
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 3
FACTORS = {"1": 2.0, "2": 3.0}
REQUEST_TIMEOUT_S = 8.0
REPLACED_WITHIN_S = 10 * 2.0
"""Ten times what is promised beyond the load time, which is a moment here."""
GONE_CALLERS = 8
LARGE_ROWS = 20_000
SLOW_EVERY = 500
SLOW_S = 0.02
KILLS = 3
FIRST_WAIT_S = 0.5
OVER = {"unloaded", "failed"}

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register a model with two versions that do as their rows say."""
    return followed.register_unruly(mlflow_server, "workers", *FACTORS.values())


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def service(
    mlflow_server: MlflowServer,
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[RunningService]:
    """Serve it with one worker, then with two, for all tests of this module."""
    with followed.serving(
        tmp_path_factory.mktemp("workers"),
        mlflow_server.uri,
        name,
        request_timeout_s=REQUEST_TIMEOUT_S,
        workers=request.param,
        keep_warm=False,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(service: RunningService, mlflow_server: MlflowServer, name: str) -> None:
    """Promote the other version: its workers have lost none of their number yet."""
    other = "2" if service.get("/health").json()["model_version"] == "1" else "1"
    mlflow_server.set_alias(name, ALIAS, other)
    service.wait_serving(other)


@pytest.fixture
def before(service: RunningService, fresh: None) -> Footprint:  # noqa: ARG001 - comes first
    """Count what the service takes before the fault, once all workers stand."""

    def has_settled() -> bool:
        told = service.info()
        pool = told["serving"]["pool"]
        lives = [version for version in told["versions"] if version["state"] not in OVER]
        return pool["alive"] == pool["workers"] and len(lives) == 1

    service.wait_until(has_settled, "one version lives, with all its workers")
    return Footprint.of(service)


def _hammer(service: RunningService) -> Hammer:
    return Hammer(service.url, CLIENTS, instance=lambda number: {"a": number, "do": ""})


def _answers_go_on(service: RunningService, hammer: Hammer) -> None:
    answered = len(hammer.all)
    service.wait_until(lambda: len(hammer.all) > answered + 50, "answers go on")


def _await_replacement(service: RunningService, lost: int) -> float:
    """Wait until a new worker stands where one was lost; return the seconds that it took."""
    began = time.monotonic()

    def is_replaced() -> bool:
        pool = service.info()["serving"]["pool"]
        return lost not in pool["pids"] and pool["alive"] == pool["workers"]

    service.wait_until(is_replaced, "a new worker stands")
    return time.monotonic() - began


def _nothing_failed(hammer: Hammer) -> None:
    assert hammer.failed == []
    assert hammer.mixed(FACTORS) == []


@posix_only
def test_a_worker_that_is_killed_under_load(service: RunningService, before: Footprint) -> None:
    """0 requests fail, and within seconds a new worker stands."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        victim = service.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        assert _await_replacement(service, victim) < REPLACED_WITHIN_S
        _answers_go_on(service, hammer)
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)


def test_a_request_that_kills_its_worker(service: RunningService, before: Footprint) -> None:
    """1 request fails, with a 500 that says so: the culprit; all beside it are answered."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        culprit = service.predict({"a": 1.0, "do": "exit"})
        _answers_go_on(service, hammer)
    assert culprit.status_code == 500
    assert culprit.json()["type"] == "urn:mlflow-hotswap:worker-lost"
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)


def test_a_predict_that_never_returns(service: RunningService, before: Footprint) -> None:
    """1 request fails, with a 504 at its deadline at the latest; its worker is replaced."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        pids = service.worker_pids()
        began = time.monotonic()
        culprit = service.predict({"a": 1.0, "do": "hang"})
        took_s = time.monotonic() - began
        _answers_go_on(service, hammer)
    assert culprit.status_code == 504
    assert took_s < REQUEST_TIMEOUT_S + 1
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)
    assert service.worker_pids() != pids


def test_callers_that_are_gone_in_mid_batch(service: RunningService, before: Footprint) -> None:
    """0 requests of the others fail, and no worker is lost for it."""
    where = urlsplit(service.url)
    pids = set(service.worker_pids())
    with _hammer(service) as hammer:
        callers = [
            socket.create_connection((where.hostname, where.port)) for _ in range(GONE_CALLERS)
        ]
        for number, caller in enumerate(callers):
            body = json.dumps({"instances": [{"a": number, "do": "sleep:0.1"}]}).encode()
            head = "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
            caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        # Half go immediately, perhaps before they were read; the others once they are accepted.
        for caller in callers[::2]:
            caller.close()
        service.wait_until(
            lambda: service.info()["serving"]["requests"] > CLIENTS, "they are accepted"
        )
        for caller in callers[1::2]:
            caller.close()
        _answers_go_on(service, hammer)
    _nothing_failed(hammer)
    service.wait_until(lambda: service.info()["serving"]["requests"] == 0, "no lease is left")
    assert set(service.worker_pids()) == pids
    footprint.wait_back_to(service, before)


@contextmanager
def _large_body(service: RunningService, hammer: Hammer) -> Iterator[Callable[[], int]]:
    """Send a body that takes its worker a second.

    Give what waits for the answer, checks it, and tells how many others were answered before it.
    """
    rows = [
        {"a": float(number), "do": "" if number % SLOW_EVERY else f"sleep:{SLOW_S}"}
        for number in range(LARGE_ROWS)
    ]
    with ThreadPoolExecutor(1) as caller:
        body = json.dumps({"instances": rows}).encode()
        assert len(body) > ServiceSettings().raw_body_bytes
        before, meanwhile = len(hammer.all), list[int]()
        answer = caller.submit(service.post, "/predict", body)
        answer.add_done_callback(lambda _: meanwhile.append(len(hammer.all) - before))
        service.wait_until(lambda: service.info()["serving"]["requests"] > CLIENTS, "it is there")

        def check() -> int:
            told = answer.result().raise_for_status().json()
            factor = FACTORS[told["model_version"]]
            assert told["predictions"] == [{"y": number * factor} for number in range(LARGE_ROWS)]
            return meanwhile[0]

        yield check


def test_small_requests_beside_a_large_body(service: RunningService, before: Footprint) -> None:
    """They are answered meanwhile, by the one worker that there is or by another."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        with _large_body(service, hammer) as check:
            meanwhile = check()
    # Each client may have had some before the body came to its worker.
    assert meanwhile > 10 * CLIENTS
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)


@posix_only
def test_workers_that_are_killed_with_a_large_body(
    service: RunningService, before: Footprint
) -> None:
    """No request fails: another worker answers the body, and the requests beside it."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        with _large_body(service, hammer) as check:
            for victim in service.worker_pids():
                os.kill(victim, signal.SIGKILL)
            check()
        _answers_go_on(service, hammer)
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)


def test_a_request_that_kills_its_worker_beside_a_large_body(
    service: RunningService, before: Footprint
) -> None:
    """1 request fails, the culprit; the body is answered."""
    with _hammer(service) as hammer:
        _answers_go_on(service, hammer)
        with _large_body(service, hammer) as check:
            culprit = service.predict({"a": 1.0, "do": "exit"})
            check()
        _answers_go_on(service, hammer)
    assert culprit.status_code == 500
    assert culprit.json()["type"] == "urn:mlflow-hotswap:worker-lost"
    _nothing_failed(hammer)
    footprint.wait_back_to(service, before)


@posix_only
def test_a_version_whose_workers_keep_dying(service: RunningService, before: Footprint) -> None:
    """It waits longer each time before it starts another one; 0 requests fail meanwhile."""
    version = service.get("/health").json()["model_version"]
    began = len(service.events())
    with _hammer(service) as hammer:
        for _ in range(KILLS):
            # The same one of several workers: each has its successors to itself.
            victim = _workers_started(service, version)[-1][0]
            os.kill(victim, signal.SIGKILL)
            _await_replacement(service, victim)
            # A request that loses two workers is taken for what kills them.
            _answers_go_on(service, hammer)
    _nothing_failed(hammer)
    since = service.events()[began:]
    lost = [_when(event) for event in since if event.get("event") == "worker lost"]
    started = [when for _, when in _workers_started(service, version)][-KILLS:]
    assert len(lost) == KILLS
    waits = [(up - down).total_seconds() for down, up in zip(lost, started, strict=True)]
    # The first may have lived long enough to be replaced immediately.
    assert all(wait >= FIRST_WAIT_S * 2**nth for nth, wait in enumerate(waits[1:])), waits
    footprint.wait_back_to(service, before)


def _workers_started(service: RunningService, version: str) -> list[tuple[int, datetime]]:
    """Return the process id and time of each start of a version's worker, oldest first."""
    return [(event["pid"], _when(event)) for event in service.starts(f"worker-{version}-")]


def _when(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event["timestamp"])
