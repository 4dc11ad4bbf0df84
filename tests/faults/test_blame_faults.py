"""What a version on probation is blamed for, and what not: its callers, a queue, a killer."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import followed
from tests.support.followed import ALIAS
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

REQUEST_TIMEOUT_S = 6.0
ROLLED_BACK_WITHIN_S = 10 * 1.0
"""Ten times what is promised after the fifth request."""
GOOD_ROWS = 31
BAD_ROWS = 3
APART_S = 0.15
KILLED_AFTER_S = 0.2
SLOW_S = 0.5
"""More than that, and less than the second that a request may take when it is run again."""
QUEUED = 8
QUEUED_S = 1.5
"""For each of them: all together take twice as long as a request may."""
NOT_THE_VERSIONS = {"overloaded", "queue-timeout"}


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register a model whose versions do as their rows say, the third one raising for all."""
    name = followed.register_unruly(mlflow_server, "blamed", 2.0, 3.0)
    mlflow_server.register_unruly(name, 5.0, limit=50.0)
    return name


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve it with one worker; versions are on probation for as long as the tests take."""
    with followed.serving(
        tmp_path_factory.mktemp("blamed"),
        mlflow_server.uri,
        name,
        request_timeout_s=REQUEST_TIMEOUT_S,
        probation_s=600,
        # So that each request is a run of its own, whose length is known.
        max_batch_rows=1,
    ) as running:
        mlflow_server.set_alias(name, ALIAS, 2)
        running.wait_serving(2)
        yield running


def ask(service: RunningService, number: float, do: str = "") -> int:
    """Send one row, and return the status of its answer."""
    return service.predict({"a": number, "do": do}).status_code


def trial(service: RunningService) -> dict[str, Any]:
    """Return how things stand for the version that serves."""
    told: dict[str, Any] = service.info()["serving"]["probation"]
    return told


def wait_excused(service: RunningService, count: int) -> dict[str, Any]:
    """Wait until the version before has failed as many bodies as well; none may have counted."""
    service.wait_until(lambda: trial(service)["excused"] >= count, f"{count} are excused")
    serving = service.info()["serving"]
    told: dict[str, Any] = serving["probation"]
    assert serving["version"] == "2"
    assert told["state"] == "under way"
    assert told["failures"] == 0
    return told


def test_bodies_that_the_version_before_fails_as_well(service: RunningService) -> None:
    """Three requests among 34 raise, answer NaN, or are too large for the loop; it serves on."""
    excused = trial(service)["excused"]
    bad: list[tuple[str, str]] = [("raise", ""), ("nan", ""), ("raise", "x" * 300_000)]
    for number in range(GOOD_ROWS + BAD_ROWS):
        if number % 10 == 5:
            do, padding = bad.pop()
            body = {"a": number, "do": do, "padding": padding}
            assert service.predict(body).status_code == 500
            wait_excused(service, excused + BAD_ROWS - len(bad))
            # A failure within a tenth of a second of another one is not weighed.
            time.sleep(APART_S)
        else:
            assert ask(service, number) == 200
    assert bad == []
    wait_excused(service, excused + BAD_ROWS)


def test_a_body_that_kills_both_versions(service: RunningService) -> None:
    """It costs each its worker, which is replaced, and counts for neither."""
    excused = trial(service)["excused"]
    assert ask(service, 1, "exit") == 500
    wait_excused(service, excused + 1)
    service.wait_until(lambda: ask(service, 1) == 200, "it answers again")


def test_requests_that_wait_too_long_in_a_queue(service: RunningService) -> None:
    """They are refused or too late, and say nothing of the version."""
    body = {"a": 1, "do": f"sleep:{QUEUED_S}"}
    failed = service.info()["serving"]["failed"]
    with ThreadPoolExecutor(QUEUED) as callers:
        answers = list(callers.map(lambda _: service.predict(body), range(QUEUED)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < QUEUED
    assert {answer.json()["type"].rpartition(":")[2] for answer in refused} <= NOT_THE_VERSIONS
    assert service.info()["serving"]["failed"] == failed
    wait_excused(service, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_a_worker_that_is_killed_from_outside(service: RunningService) -> None:
    """Even together with the one that its request is run again on."""
    killed: set[int] = set()

    def kill_next() -> None:
        """Kill the worker once it has had the request for a while."""
        service.wait_until(lambda: set(service.worker_pids()) - killed, "a worker is there")
        time.sleep(KILLED_AFTER_S)
        for pid in set(service.worker_pids()) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    excused, failed = trial(service)["excused"], service.info()["serving"]["failed"]
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(ask, service, 1, f"sleep:{SLOW_S}")
        kill_next()
        assert answer.result() == 200
        answer = caller.submit(ask, service, 1, f"sleep:{SLOW_S}")
        kill_next()
        kill_next()
        # A replacement that was killed before it had the request is no second loss.
        assert answer.result() in {200, 500}
    lost = service.info()["serving"]["failed"] - failed
    assert lost == (answer.result() == 500)
    wait_excused(service, excused + lost)
    service.wait_until(lambda: ask(service, 1) == 200, "it answers again")


def test_a_version_that_fails_what_the_one_before_answers(
    service: RunningService, mlflow_server: MlflowServer, name: str
) -> None:
    """It is gone soon after its fifth request, and the one before goes on with its probation."""
    mlflow_server.set_alias(name, ALIAS, 3)
    service.wait_serving(3)
    for number in range(5):
        assert ask(service, 60 + number) == 500
    fifth_s = time.monotonic()
    number = 100
    while service.get("/health").json()["model_version"] == "3":
        assert time.monotonic() - fifth_s < ROLLED_BACK_WITHIN_S
        ask(service, number)
        number += 1
    took_s = time.monotonic() - fifth_s
    assert ask(service, 60) == 200
    told = service.info()
    assert told["serving"]["version"] == "2"
    assert told["serving"]["probation"]["state"] == "under way"
    last = told["promotions"][0]
    assert (last["version"], last["ending"]) == ("3", "rolled back")
    assert "evidence" in last["reason"]
    assert took_s < ROLLED_BACK_WITHIN_S
