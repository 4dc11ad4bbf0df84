"""WORKER_LIMITS in a whole service: what a version may take, and what becomes of one that does."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.limited_model import GROWS
from tests.support.python_models import SUPPORT
from tests.support.scrapes import read, total
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches memory by /proc")
LIMITS = "memory=600MiB,files=200,no_network"
OVER = "of memory, and WORKER_LIMITS allows 600 MiB"


class Limited(NamedTuple):
    """A service under limits, the model that it follows, and what that reports at each load."""

    service: RunningService
    server: MlflowServer
    name: str
    report: Path

    def register(self, **config: object) -> str:
        """Make another version, and return its number."""
        config = {"report": str(self.report), **config}
        return register_python_model(self.server, self.name, SUPPORT / "limited_model.py", config)

    def loads(self) -> list[dict[str, Any]]:
        """Return what each worker told at its load."""
        return [json.loads(line) for line in self.report.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def limited(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Limited]:
    """Serve a version that grows where it is asked to."""
    folder, name = tmp_path_factory.mktemp("limited"), unique_name("limited")
    service: Any = None
    made = Limited(service, mlflow_server, name, folder / "report")
    made.register(grow_mib=700)
    with start(
        folder,
        mlflow_server.uri,
        model_uri=f"models:/{name}/latest",
        worker_limits=LIMITS,
    ) as service:
        yield made._replace(service=service)


def test_each_worker_is_limited_before_its_model_is_imported(limited: Limited) -> None:
    """The first one, and one that stood by; the log names both as workers of a version."""
    service = limited.service
    service.await_standby()
    version = limited.register(grow_mib=700)
    service.wait_serving(version)
    assert [event["event"] for event in service.starts("worker-")][-1] == "standby worker used"
    assert len(limited.loads()) >= 2
    for load in limited.loads():
        assert load["network"] == "PermissionError"
        assert load["no_new_privileges"] == "1"
        assert load["files"] == 200


def test_a_request_that_makes_it_grow_fails_alone_and_is_told(limited: Limited) -> None:
    """Its worker is ended and replaced; log, `/health` and a metric say for what."""
    service = limited.service
    version = service.info()["serving"]["version"]
    answer = service.predict({"a": GROWS})
    assert answer.status_code == 500
    service.wait_until(lambda: service.predict({"a": 1.5}).status_code == 200, "replaced")
    health = service.get("/health").json()
    assert OVER in health["degraded"]
    lost = [event for event in service.events() if event.get("event") == "worker lost"]
    assert lost
    assert all(OVER in event["reason"] for event in lost)
    seen = read(service.get("/metrics").text)
    label = f"model={limited.name}"
    ended = total(seen, "hotswap_workers_over_limit_total", label)
    # The version before, which is still warm, was asked the same: it failed as well.
    assert ended == total(seen, "hotswap_workers_lost_total", label) == len(lost)
    assert service.info()["serving"]["version"] == version


def test_a_version_that_is_larger_once_loaded_is_refused(limited: Limited) -> None:
    """By its gate, once, with the limit in the journal; the version before serves on."""
    service = limited.service
    before = service.info()["serving"]["version"]
    version = limited.register(hold_mib=700)

    def refused() -> Any:
        entries = service.get("/model/journal").json()["promotions"]
        return next((one for one in entries if one["version"] == version), None)

    service.wait_until(lambda: (refused() or {}).get("outcome") == "refused", "refused")
    assert OVER in refused()["reason"]
    loads = len(limited.loads())
    assert service.predict({"a": 1.5}).json()["predictions"] == [{"y": 1.5}]
    assert service.info()["serving"]["version"] == before
    assert len(limited.loads()) == loads
