"""`hotswap check` says whether the promoted version would go live."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools.mlflow_server import MlflowServer, free_port, unique_name


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give all checks one store."""
    return tmp_path_factory.mktemp("check")


def check(cache_dir: Path, uri: str, pointer: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": uri,
        "MODEL_URI": pointer,
        "CACHE_DIR": str(cache_dir),
    }
    return subprocess.run(
        [sys.executable, "-m", "service", "check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def outcomes(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the outcome of each step that was told."""
    return {line.split()[0]: line.split()[1] for line in ended.stdout.splitlines()}


def test_a_good_version_passes_every_step(mlflow_server: MlflowServer, cache_dir: Path) -> None:
    """Settings, registry, fetch and every gate are told, and the status is 0."""
    name = unique_name("good")
    mlflow_server.set_alias(name, "champion", mlflow_server.register_tiny(name))
    ended = check(cache_dir, mlflow_server.uri, f"models:/{name}@champion")
    gates = ("artifacts", "environment", "load", "contract", "smoke", "speed")
    steps = ("settings", "registry", "fetch", *gates)
    assert (outcomes(ended), ended.returncode) == (dict.fromkeys(steps, "pass"), 0), ended.stderr


def test_a_bad_version_is_refused_with_its_reason(
    mlflow_server: MlflowServer, cache_dir: Path
) -> None:
    """The gate that refuses it is the last line, and the status is 1."""
    name = unique_name("bad")
    version = mlflow_server.register_unruly(name, on_load="raise")
    ended = check(cache_dir, mlflow_server.uri, f"models:/{name}/{version}")
    assert ended.returncode == 1
    assert "told to raise" in ended.stdout.splitlines()[-1]
    assert outcomes(ended)["load"] == "refuse"


def test_nothing_promoted_and_a_registry_that_is_down_are_told_apart(
    mlflow_server: MlflowServer, cache_dir: Path, tmp_path: Path
) -> None:
    """Both end with status 1, each with a sentence of its own."""
    nobody = f"http://127.0.0.1:{free_port()}"
    # Each waits for imports, and for its registry.
    with ThreadPoolExecutor(2) as both:
        absent, down = both.map(
            check,
            (cache_dir, tmp_path),
            (mlflow_server.uri, nobody),
            ("models:/nobody-knows-me@champion", "models:/any@champion"),
        )
    assert (absent.returncode, down.returncode) == (1, 1)
    assert outcomes(absent) == outcomes(down) == {"settings": "pass", "registry": "fail"}
    assert absent.stdout.splitlines()[-1] != down.stdout.splitlines()[-1]
