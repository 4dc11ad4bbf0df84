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

from service.settings.settings import FIELDS
from tests.support.counting_proxy import CountingProxy
from tests.support.python_models import SUPPORT
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

OURS = ("ADMIN_TOKEN", "WEBHOOK_SECRET")
OF_REGISTRIES = (
    *("MLFLOW_TRACKING_TOKEN", "MLFLOW_UC_OSS_TOKEN", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"),
    *("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_KERBEROS_PRINCIPAL"),
    *("DATABRICKS_CLIENT_SECRET", "DATABRICKS_HOST"),
)
OF_STORES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY", "AZURE_CLIENT_SECRET"),
    "GOOGLE_APPLICATION_CREDENTIALS",
)
OF_OTHERS = (
    *("OTHER_API_TOKEN", "OPENAI_API_KEY", "DB_PASSWORD", "TLS_PRIVATE_KEY", "SSH_AUTH_SOCK"),
    *("OTEL_EXPORTER_OTLP_HEADERS", "UV_INDEX_MINE_PASSWORD", "GITHUB_TOKEN", "MY_CHOICE"),
)
"""The last one is kept back by WORKER_ENV alone."""
SECRETS = {
    name: f"{name.lower()}-8f1f6a5e" for name in (*OURS, *OF_REGISTRIES, *OF_STORES, *OF_OTHERS)
}
IN_VALUES = {"PIP_INDEX_URL": "https://me:pip-2b9c4f7e@pypi.example/simple"}
ROOT = Path(__file__).parents[2]
IN_ADDRESS = "inaddress-41c7d2f9"
PASSED = {"AWS_REGION": "eu-west-1", "DATABRICKS_TOKEN": "asked-for"}


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
    backwards = [secret[::-1] for secret in (*SECRETS.values(), "pip-2b9c4f7e", IN_ADDRESS)]
    given = SECRETS | IN_VALUES | PASSED
    set_to: dict[str, Any] = {key.lower(): value for key, value in given.items()}
    config = {"secrets": backwards, "report": str(report)}
    register_python_model(mlflow_server, name, SUPPORT / "curious_model.py", config)
    with (
        CountingProxy(mlflow_server.uri) as registry,
        start(
            folder,
            registry.uri.replace("://", f"://someone:{IN_ADDRESS}@"),
            command=("-m", "tests.support.without_ptrace", "-m", "service", "serve"),
            model_uri=f"models:/{name}/latest",
            worker_env="DATABRICKS_TOKEN,-MY_CHOICE",
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
    """The registry's bare address, what was asked for, and nothing beyond a list that is known."""
    of_service = {field.name.upper() for field in FIELDS}
    for look in curious.looks():
        names = set(look["names"])
        print(f"at {look['when']} a worker had {len(names)} variables:", *sorted(names))  # noqa: T201 - `pytest -s` shows it
        assert {*PASSED, "PATH", "MLFLOW_TRACKING_URI"} <= names
        assert not {*SECRETS, *IN_VALUES} & names
        added = names - set(os.environ) - of_service - set(PASSED)
        assert added <= SET_BY_US, "where do these come from?"


SET_BY_US = {
    *("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_TRACKING_URI", "MLFLOW_WORKSPACE", "TMPDIR"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "LOKY_MAX_CPU_COUNT", "OPENBLAS_THREAD_TIMEOUT"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"),  # OpenMP's own, once it is loaded
}
"""What a worker is started with besides what the service has."""


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
