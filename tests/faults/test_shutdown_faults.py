"""SIGTERM, whatever the service is doing: accepted requests are answered, and nothing stays."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import followed, footprint
from tests.support.followed import ALIAS
from tests.support.footprint import GONE_WITHIN_S
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 2
IN_FLIGHT = 4
DRAIN_LEAD_S = 1.5
LIMIT_S = 20.0
FACTOR = 2.0

PHASES = ("starting", "idle", "loading", "proving", "swapping", "draining", "under load")
IN_SHORT = [
    ("starting", "process"),
    ("loading", "group"),
    ("proving", "process"),
    ("swapping", "process"),
    ("draining", "group"),
    ("under load", "process"),
]
IN_FULL = [(phase, whom) for phase in PHASES for whom in ("process", "group")]
CASES = IN_FULL if os.environ.get("HOTSWAP_LONG_FAULTS") else IN_SHORT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register version 1, which does as its rows say, and a version to be in each phase with."""
    name = followed.register_unruly(mlflow_server, "ending", FACTOR)
    mlflow_server.register_unruly(name, FACTOR, on_load="hang")
    mlflow_server.register_unruly(name, FACTOR, on_predict="hang")
    mlflow_server.register_unruly(name, FACTOR, on_load="sleep:1")
    return name


VERSION_OF = {"loading": "2", "proving": "3", "swapping": "4", "draining": "4"}


@contextmanager
def _serving(
    server: MlflowServer, name: str, folder: Path, *, wait: bool = True, drain_lead_s: float = 0
) -> Iterator[RunningService]:
    server.set_alias(name, ALIAS, 1)
    with running_service.start(
        folder,
        server.uri,
        model_uri=followed.pointer(name),
        wait=wait,
        keep_warm=False,
        drain_lead_s=drain_lead_s,
    ) as service:
        yield service


def _send(
    service: RunningService, pool: ThreadPoolExecutor, duration_s: float
) -> list[Future[httpx.Response]]:
    """Send requests that take a while, and wait until the service has all of them.

    The clients that hammer it wait behind them, so then each of those has one there, too.
    """
    body = {"instances": [{"a": 1.0, "do": f"sleep:{duration_s}"}]}
    sent = [
        pool.submit(httpx.post, f"{service.url}/predict", json=body, timeout=60)
        for _ in range(IN_FLIGHT)
    ]
    service.wait_until(
        lambda: service.info()["serving"]["requests"] >= IN_FLIGHT + CLIENTS, "requests accepted"
    )
    return sent


def _state(service: RunningService, version: str) -> str:
    states: dict[str, str] = {v["version"]: v["state"] for v in service.info()["versions"]}
    return states.get(version, "")


def _reach(
    phase: str, service: RunningService, server: MlflowServer, name: str, pool: ThreadPoolExecutor
) -> list[Future[httpx.Response]]:
    """Bring the service into a phase, with requests that it has accepted; return their answers."""
    if phase == "starting":
        service.wait_until(
            lambda: any(e.get("event") == "listening" for e in service.events()), "it listens"
        )
        return []
    version = VERSION_OF.get(phase)
    if version:
        server.set_alias(name, ALIAS, version)
    if phase == "swapping":
        _await_event(service, "version serves", version or "")
        return []
    if phase == "draining":
        service.wait_until(lambda: _state(service, version or "") == "loading", "it loads")
        # These outlast the load: version 1 drains, while version 4 serves already.
        sent = _send(service, pool, 1.0)
        service.wait_until(lambda: _state(service, "1") == "draining", "version 1 drains")
        return sent
    if version:
        service.wait_until(lambda: _state(service, version) == phase, phase)
    return _send(service, pool, 0.4)


def _await_event(service: RunningService, event: str, version: str) -> None:
    """Wait for a line of the log; looks more often than the service can be asked."""
    deadline = time.monotonic() + LIMIT_S
    while not any((e.get("event"), e.get("version")) == (event, version) for e in service.events()):
        assert time.monotonic() < deadline, f"no {event} in time"
        time.sleep(0.001)


def _all_accepted_were_answered(hammer: Hammer, *, unserved: bool = False) -> None:
    """Fail unless each request was answered, or never accepted; with 503 where nothing serves."""
    assert {seen.status for seen in hammer.failed} <= ({0, 503} if unserved else {0}), hammer.failed
    # A connection that is kept alive may be closed while its next request is on the way.
    assert len(hammer.broken) <= CLIENTS, hammer.failed
    assert all(seen.got == seen.sent * FACTOR for seen in hammer.all if seen.status == 200)


@pytest.mark.parametrize(("phase", "whom"), CASES)
def test_sigterm_in_each_phase(
    mlflow_server: MlflowServer, name: str, tmp_path: Path, phase: str, whom: str
) -> None:
    """0 accepted requests fail; its processes and temporary files are gone within 5 s."""
    signal_to: Callable[[int, int], None] = os.kill if whom == "process" else os.killpg
    with (
        _serving(mlflow_server, name, tmp_path, wait=phase != "starting") as service,
        ThreadPoolExecutor(IN_FLIGHT) as pool,
        Hammer(
            service.url,
            0 if phase == "idle" else CLIENTS,
            instance=lambda number: {"a": number, "do": ""},
        ) as hammer,
    ):
        service.wait_until(lambda: all(hammer.seen), "answers before the signal")
        if phase == "idle":
            service.await_standby()
        sent = [] if phase == "idle" else _reach(phase, service, mlflow_server, name, pool)
        family = service.family()
        signal_to(service.process.pid, signal.SIGTERM)
        answers = [future.result() for future in sent]
        answered = time.monotonic()
        service.process.wait(LIMIT_S)
        footprint.nothing_stays(service, family)
        assert time.monotonic() - answered < GONE_WITHIN_S
    assert [answer.status_code for answer in answers] == [200] * len(sent)
    _all_accepted_were_answered(hammer, unserved=phase == "starting")


def test_a_load_balancer_that_needs_a_moment(
    mlflow_server: MlflowServer, name: str, tmp_path: Path
) -> None:
    """For DRAIN_LEAD_S readiness is red while requests are accepted; 0 fail before it is over."""
    with (
        _serving(mlflow_server, name, tmp_path, drain_lead_s=DRAIN_LEAD_S) as service,
        Hammer(service.url, CLIENTS, instance=lambda number: {"a": number, "do": ""}) as hammer,
    ):
        service.wait_until(lambda: all(hammer.seen), "answers before the signal")
        family = service.family()
        told = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.wait_until(
            lambda: service.get("/health/ready").status_code == 503, "red", DRAIN_LEAD_S
        )
        # A connection of its own: the listener is open.
        body = {"instances": [{"a": 1.0, "do": ""}]}
        late = httpx.post(f"{service.url}/predict", json=body, timeout=60, trust_env=False)
        seen_red_s = time.monotonic() - told
        assert hammer.failed == []
        _await_refusal(service.url)
        lasted_s = time.monotonic() - told
        service.process.wait(LIMIT_S)
        footprint.nothing_stays(service, family)
    assert late.status_code == 200
    assert seen_red_s < DRAIN_LEAD_S <= lasted_s
    _all_accepted_were_answered(hammer)


def _await_refusal(url: str) -> None:
    """Wait until nobody listens any more."""
    parts = urlsplit(url)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("somebody still listens")
