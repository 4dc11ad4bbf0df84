"""What a model's code can see of the service's secrets: a real model looks, in a real service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.support.counting_proxy import CountingProxy
from tests.support.python_models import SUPPORT
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SECRETS = {
    "ADMIN_TOKEN": "admin-8f1f6a5e",
    "WEBHOOK_SECRET": "webhook-5c4b2d90",
    "MLFLOW_TRACKING_TOKEN": "registry-77d0e3a1",
    "DATABRICKS_CLIENT_SECRET": "databricks-2b9c4f7e",
    "MY_SECRET": "mine-0a6e8b3d",
}
ROOT = Path(__file__).parents[2]
IN_ADDRESS = "inaddress-41c7d2f9"
PASSED = {"AWS_SECRET_ACCESS_KEY": "aws-for-the-model", "DATABRICKS_TOKEN": "asked-for"}


class Curious(NamedTuple):
    """A service whose model looks for secrets, and what it reports."""

    service: RunningService
    registry: CountingProxy
    report: Path

    def looks(self) -> list[dict[str, Any]]:
        """Return what it found at each look."""
        return [json.loads(line) for line in self.report.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def curious(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Curious]:
    """Serve the curious model, with a secret in each place where one is usual."""
    folder, name = tmp_path_factory.mktemp("curious"), unique_name("curious")
    report = folder / "report"
    backwards = [secret[::-1] for secret in (*SECRETS.values(), IN_ADDRESS)]
    set_to: dict[str, Any] = {key.lower(): value for key, value in (SECRETS | PASSED).items()}
    config = {"secrets": backwards, "report": str(report)}
    register_python_model(mlflow_server, name, SUPPORT / "curious_model.py", config)
    with (
        CountingProxy(mlflow_server.uri) as registry,
        start(
            folder,
            registry.uri.replace("://", f"://someone:{IN_ADDRESS}@"),
            command=("-m", "tests.support.without_ptrace", "-m", "service", "serve"),
            model_uri=f"models:/{name}/latest",
            worker_env="DATABRICKS_TOKEN,-MY_SECRET",
            **set_to,
        ) as service,
    ):
        assert service.predict({"a": 1.0}).status_code == 200
        yield Curious(service, registry, report)


def test_a_model_sees_no_secret_of_the_service_or_the_registry(curious: Curious) -> None:
    """Not in its environment, nor in that of its ancestors or of any other process."""
    looks = curious.looks()
    assert {look["when"] for look in looks} == {"load", "predict"}
    for look in looks:
        assert look["looked"] > 4
        assert look["found"] == []
    answer = curious.service.predict({"a": 1.0})
    assert answer.json()["predictions"] == [{"y": 0.0}]


def test_a_model_sees_the_rest_and_what_worker_env_passes(curious: Curious) -> None:
    """Credentials of object stores, the registry's bare address, and what was asked for."""
    for look in curious.looks():
        assert {*PASSED, "PATH", "MLFLOW_TRACKING_URI"} <= set(look["names"])
        assert not set(SECRETS) & set(look["names"])


def test_a_model_can_read_no_memory_that_holds_a_secret(curious: Curious) -> None:
    """Server process, fork server and registry processes can't be traced; workers hold none."""
    hidden = {curious.service.process.pid, *curious.service.started_pids("registry-")}
    hidden |= {psutil.Process(pid).ppid() for pid in curious.service.worker_pids()}
    assert len(hidden) >= 3
    for look in curious.looks():
        assert look["readable"]
        assert not hidden & set(look["readable"])


def test_the_registry_is_asked_with_its_credentials_all_the_same(curious: Curious) -> None:
    """They reach the processes that ask it, by their pipes."""
    assert curious.registry.saw(b"authorization: ")


FACTORY_TWICE = """
import os, anyio
from service.app import create_app

async def main():
    create_app()
    app = create_app()
    token = app.state.settings.admin_token
    async with app.lifespan():
        print(token, *sorted(set(os.environ) & {"ADMIN_TOKEN", "MLFLOW_TRACKING_TOKEN"}))

anyio.run(main)
"""


def test_another_server_that_makes_the_application_twice_keeps_its_secrets_too(
    tmp_path: Path,
) -> None:
    """They are read at each time, and taken out of the environment when the application starts."""
    ended = subprocess.run(
        [sys.executable, "-c", FACTORY_TWICE],
        env={**os.environ, **SECRETS, "CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.stdout.split() == [SECRETS["ADMIN_TOKEN"]], ended.stderr
