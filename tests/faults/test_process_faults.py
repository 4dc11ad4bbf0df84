"""Processes other than workers are killed: a registry process, fork server, server process."""

import itertools
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.conftest import Rig
from tests.support import followed, footprint
from tools import running_service
from tools.load import Hammer
from tools.running_service import RunningService

CLIENTS = 2
FACTOR = 2.0
STOPPED_S = 5.0
_factors = itertools.count(201)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="has no fork server")


def _fork_server(service: RunningService) -> int:
    (pid,) = [
        child.pid
        for child in service.children()
        if child.ppid() == service.process.pid and "forkserver" in " ".join(child.cmdline())
    ]
    return pid


@pytest.mark.parametrize("name", ["registry-poll", "registry-fetch"])
def test_a_registry_process_that_is_killed(rig: Rig, name: str) -> None:
    """0 requests fail; a new one asks and fetches, and the next promotion is served."""
    with rig.exact_traffic():
        # One that is idle for a minute has ended.
        rig.service.wait_serving(rig.promote_new(next(_factors)))
        killed = rig.service.started_pids(name)[-1]
        os.kill(killed, signal.SIGKILL)
        rig.service.wait_serving(rig.promote_new(next(_factors)))
        assert rig.service.started_pids(name)[-1] != killed


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_worker_is_lost(rig: Rig, sent: signal.Signals) -> None:
    """0 requests fail; another worker serves the next promotion, and then another one stands by."""
    with rig.exact_traffic():
        lost = rig.service.await_standby()
        os.kill(lost, sent)
        rig.service.wait_serving(rig.promote_new(next(_factors)))
        assert lost not in rig.service.worker_pids()
        rig.service.await_standby(other_than=lost)


@only_linux
def test_a_fork_server_that_is_killed(rig: Rig) -> None:
    """0 requests fail, also where a worker is killed with it; the next promotion is served."""
    with rig.exact_traffic() as hammer:
        killed = _fork_server(rig.service)
        os.kill(killed, signal.SIGKILL)
        answered = len(hammer.all)
        rig.service.wait_until(lambda: len(hammer.all) > answered + 50, "answers go on")
        worker = rig.service.worker_pids()[0]
        os.kill(worker, signal.SIGKILL)
        rig.service.wait_until(lambda: rig.service.worker_pids() not in ([], [worker]), "a new one")
        rig.service.wait_serving(rig.promote_new(next(_factors)))
        assert _fork_server(rig.service) != killed


def _model_processes(service: RunningService, told: Path) -> list[psutil.Process]:
    """Have a model start processes, and return them."""
    service.predict({"a": 1.0, "do": f"processes:{told}"}).raise_for_status()
    service.wait_until(told.exists, "they are started")
    return [psutil.Process(int(pid)) for pid in told.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_that_means_nothing(rig: Rig, number: signal.Signals) -> None:
    """It is a line in the log, whether the service gets it alone or all its processes do."""
    with rig.exact_traffic():
        count, workers = len(rig.service.events()), rig.service.worker_pids()
        for process in rig.service.family():
            process.send_signal(number)
        rig.service.wait_until(
            lambda: rig.logged_since(count, "signal ignored")[:1], "it is in the log"
        )
        assert rig.logged_since(count, "signal ignored")[0]["signal"] == number.name
        assert rig.service.worker_pids() == workers


def test_a_service_that_is_stopped_and_goes_on(rig: Rig) -> None:
    """Nothing is late for having waited: no worker is lost, and health is green."""
    with rig.exact_traffic():
        count = len(rig.service.events())
        rig.service.process.send_signal(signal.SIGSTOP)
        # Longer than a heartbeat may be late.
        time.sleep(STOPPED_S)
        rig.service.process.send_signal(signal.SIGCONT)
        rig.service.wait_until(lambda: rig.service.get("/health").status_code == 200, "green", 2.0)
        rig.service.wait_until(rig.service.is_at_rest, "it has what it needs")
        assert rig.logged_since(count, "worker lost") == []


def test_a_server_that_is_killed_takes_its_children_along(rig: Rig, tmp_path: Path) -> None:
    """With a worker that holds the GIL, and what its model started: only requests under way fail.

    What lies below CACHE_DIR serves the next start, which removes the temporary files. That one
    ends in time although its fork server hangs while a worker is to be replaced.
    """
    name = followed.register_unruly(rig.server, "killed", FACTOR)

    def start() -> RunningService:
        uri = followed.pointer(name)
        return running_service.start(tmp_path, rig.server.uri, model_uri=uri)

    with (
        start() as service,
        ThreadPoolExecutor(1) as pool,
        Hammer(service.url, CLIENTS, instance=lambda number: {"a": number, "do": ""}) as hammer,
    ):
        service.wait_until(lambda: all(hammer.seen), "answers before the signal")
        started = _model_processes(service, tmp_path / "pids")
        service.await_standby()
        body = {"instances": [{"a": 1.0, "do": "spin"}]}
        lost = pool.submit(httpx.post, f"{service.url}/predict", json=body, timeout=60)
        service.wait_until(
            lambda: service.info()["serving"]["requests"] > CLIENTS, "all requests are accepted"
        )
        family = [*service.family(), *started]
        service.process.kill()
        assert isinstance(lost.exception(), httpx.TransportError)
        footprint.all_gone(family)
    assert {seen.status for seen in hammer.failed} <= {0}
    for seen in hammer.seen:
        # The kernel closes a killed process' descriptors from the highest on, and the listener's is
        # the lowest: a client that connects anew may still find it listening,
        # and is reset with it. Then connections are refused.
        broken = [one.fresh for one in seen if one in hammer.broken]
        assert broken in ([], [False], [True], [False, True]), hammer.broken
    assert hammer.mixed({"1": FACTOR}) == []
    with footprint.ending_clean(start()) as again:
        footprint.wait_back_to(again, rig.usual)
        started = _model_processes(again, tmp_path / "others")
        if sys.platform == "linux":
            os.kill(_fork_server(again), signal.SIGSTOP)
        # The standby worker would take the place of one that is lost.
        for worker in (again.await_standby(), *again.worker_pids()):
            os.kill(worker, signal.SIGKILL)
        again.wait_until(lambda: again.get("/health").status_code == 503, "its loss is seen", 2.0)
        footprint.all_gone(started)
