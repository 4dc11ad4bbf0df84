"""Versions pinned to real releases of libraries that lie apart, in environments of their own.

A long form (HOTSWAP_LONG_FAULTS=1): it installs them from the index that uv finds here.
"""

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.followed import ALIAS, serving
from tools.load import Hammer
from tools.mlflow_server import MlflowServer, unique_name
from tools.running_service import RunningService

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("HOTSWAP_LONG_FAULTS") != "1", reason="installs some hundred megabytes"
    ),
    pytest.mark.timeout(1800),
]
CLIENTS = 16
PAUSE_S = 0.05
BUILT_WITHIN_S = 900
RELEASES = {
    "1": ["scikit-learn==1.5.2", "pandas==2.2.3", "numpy==1.26.4", "scipy==1.14.1"],
    "2": ["scikit-learn==1.7.2", "pandas==3.0.0", "numpy==2.3.5", "scipy==1.16.3"],
}
FACTORS = {"1": 5.0, "2": 7.0}
"""The minor releases of scikit-learn."""
_CODE = Path(__file__).parents[1] / "support" / "learning_model.py"
_ASK = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
answer = model.predict(pandas.DataFrame(json.loads(sys.argv[2])))
print(json.dumps(answer.to_dict(orient="records")))
"""


@pytest.fixture(scope="module")
def model(mlflow_server: MlflowServer) -> str:
    """Register a version for each set of releases."""
    name = unique_name("learning")
    frame = pd.DataFrame({"a": [1.0], "y": [1.0], "forest": [1.0], "pandas": [1.0]})
    with mlflow_server.active() as mlflow:
        for releases in RELEASES.values():
            mlflow_server.register(
                name,
                mlflow.pyfunc.log_model,
                python_model=str(_CODE),
                signature=mlflow.models.infer_signature(frame[["a"]], frame.drop(columns="a")),
                pip_requirements=[
                    f"mlflow-skinny=={importlib.metadata.version('mlflow')}",
                    *releases,
                ],
            )
    mlflow_server.set_alias(name, ALIAS, 1)
    return name


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve the model, each of its versions in its own environment."""
    folder = tmp_path_factory.mktemp("releases")
    settings = {"environment": "own", "probation_s": 0, "wait": False}
    with serving(folder, mlflow_server.uri, model, **settings) as service:
        service.wait_serving(1, BUILT_WITHIN_S)
        yield service


def asked_apart(service: RunningService, path: str, rows: list[dict[str, float]]) -> Any:
    """Ask MLflow itself, in the environment of the version that serves."""
    key = service.info()["serving"]["environment"]["key"]
    interpreter = service.cache_dir / "environments" / key / "venv" / "bin" / "python"
    ended = subprocess.run(
        [interpreter, "-c", _ASK, path, json.dumps(rows)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_two_minors_of_scikit_learn_and_two_majors_of_pandas_to_and_fro(
    service: RunningService, mlflow_server: MlflowServer, model: str, tmp_path: Path
) -> None:
    """Under 16 clients none fails, and each version answers as MLflow does in its environment."""
    rows = [{"a": number / 7 - 1.5} for number in range(20)]
    with Hammer(service.url, CLIENTS, pause_s=PAUSE_S) as hammer:
        for version in ("1", "2", "1", "2"):
            mlflow_server.set_alias(model, ALIAS, version)
            service.wait_serving(version, BUILT_WITHIN_S)
            service.wait_until(
                lambda version=version: all(  # type: ignore[misc]
                    seen and seen[-1].version == version for seen in hammer.seen
                ),
                f"all clients see version {version}",
            )
            answered = service.predict(*rows).raise_for_status().json()
            with mlflow_server.active() as mlflow:
                place = mlflow.artifacts.download_artifacts(
                    f"models:/{model}/{version}", dst_path=str(tmp_path / version)
                )
            assert answered["model_version"] == version
            assert answered["predictions"] == asked_apart(service, place, rows)
            print(service.info()["promotions"][0]["verdicts"][1], answered["predictions"][0])  # noqa: T201 - what the long form is run for
    print(f"{len(hammer.all)} requests, {len(hammer.failed)} failed, {hammer.mixed(FACTORS)} mixed")  # noqa: T201 - the same
    assert hammer.failed == []
    assert hammer.mixed(FACTORS) == []
    assert hammer.changes() == [["1", "2", "1", "2"]] * CLIENTS
