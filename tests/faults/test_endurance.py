"""What shows only after a while: many swaps, and a clock that is set back."""

import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support import followed, footprint
from tests.support.followed import ALIAS
from tests.support.set_back_clock import SetBackClock
from tests.support.stepping_clock import STEP_S
from tools import running_service
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 2
FACTORS = {"1": 2.0, "2": 3.0}
SWAPS = 100 if os.environ.get("HOTSWAP_LONG_FAULTS") else 9
WARM_UP_SWAPS = 5
GROWTH = 1.10


@pytest.fixture(scope="module")
def name(mlflow_server: MlflowServer) -> str:
    """Register a model with two versions."""
    return followed.register_tiny(mlflow_server, "enduring", *FACTORS.values())


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve it."""
    folder = tmp_path_factory.mktemp("enduring")
    with followed.serving(folder, mlflow_server.uri, name, keep_warm=False) as running:
        yield running


def _swap(service: RunningService, mlflow_server: MlflowServer, name: str, times: int) -> None:
    """Promote the other version so many times, each once the one before serves alone."""
    for _ in range(times):
        other = "2" if service.get("/health").json()["model_version"] == "1" else "1"
        mlflow_server.set_alias(name, ALIAS, other)
        service.wait_serving(other)
        service.wait_until(lambda: _alive(service) == 1, "the version before is gone")


def _alive(service: RunningService) -> int:
    states = [version["state"] for version in service.info()["versions"]]
    return sum(state not in {"unloaded", "failed"} for state in states)


def _memory_bytes(service: RunningService) -> int:
    """Return what all its processes take together; a page that some share counts once."""
    return sum(process.memory_full_info().pss for process in service.family())


@pytest.mark.timeout(900)
def test_many_swaps_in_a_row(
    service: RunningService, mlflow_server: MlflowServer, name: str
) -> None:
    """0 requests fail, and the service has grown by less than 10 % since the fifth swap."""
    with Hammer(service.url, CLIENTS) as hammer:
        _swap(service, mlflow_server, name, WARM_UP_SWAPS)
        usual_bytes = _memory_bytes(service)
        with footprint.kept(service):
            _swap(service, mlflow_server, name, SWAPS - WARM_UP_SWAPS)
        grown_bytes = _memory_bytes(service)
    assert hammer.failed == []
    assert hammer.mixed(FACTORS) == []
    assert grown_bytes < usual_bytes * GROWTH


@pytest.mark.skipif(sys.platform == "win32", reason="sets the clock back by POSIX means")
def test_a_wall_clock_that_steps_back_an_hour(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Serving, polling, promotions and journal go on, newest first; 0 requests fail."""
    name = followed.register_unruly(mlflow_server, "stepping", *FACTORS.values())
    clock = SetBackClock(tmp_path)
    with (
        footprint.ending_clean(
            clock.start(mlflow_server.uri, model_uri=followed.pointer(name), keep_warm=False)
        ) as service,
        Hammer(service.url, CLIENTS, instance=lambda number: {"a": number, "do": ""}) as hammer,
    ):
        _swap(service, mlflow_server, name, 1)
        with footprint.kept(service):
            looked = _last_looked(service)
            clock.step_back(service)
            service.wait_until(lambda: _last_looked(service) < looked, "the server process sees it")
            if clock.is_everybodys:
                service.wait_until(lambda: _behind_s(service) > STEP_S - 60, "a worker sees it")
            _swap(service, mlflow_server, name, 1)
            after, before, *_ = service.get("/model/journal").json()["promotions"]
            looked = _last_looked(service)
            service.wait_until(lambda: _last_looked(service) > looked, "polling goes on")
            assert service.get("/health").json()["registry_age_s"] < running_service.STATE_TIMEOUT_S
    assert (after["ending"], before["ending"]) == ("serving", "serving")
    assert after["version"] != before["version"]
    stepped = _when(before["noticed_at"]) - _when(after["noticed_at"])
    assert stepped > timedelta(minutes=30)
    assert hammer.failed == []
    assert hammer.mixed(FACTORS) == []


def _last_looked(service: RunningService) -> datetime:
    return _when(service.get("/health").json()["registry_last_seen"])


def _behind_s(service: RunningService) -> float:
    """Return by how much the clock of a worker is behind."""
    answer = service.predict({"a": 1.0, "do": "clock"}).json()
    told: float = answer["predictions"][0]["y"]
    return time.time() - told


def _when(told: str) -> datetime:
    return datetime.fromisoformat(told)
