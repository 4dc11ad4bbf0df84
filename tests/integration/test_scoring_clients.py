"""Clients of MLflow's protocol that must work unchanged: theirs, Databricks' and SageMaker's."""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    import mlflow
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from tests.support import followed
from tests.support.client_environments import interpreter_of
from tools import running_service
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

SAGEMAKER = Path(__file__).parents[1] / "clients" / "boto3_client.py"
FRAME = pd.DataFrame({"a": [1.0, 2.5]}, index=[7, 9])
SPLIT = {"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.5]]}}
ANSWER = [{"y": 2.0}, {"y": 5.0}]


@pytest.fixture(scope="module")
def service(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Serve a tiny model under the name that clients call an endpoint."""
    name = followed.register_tiny(mlflow_server, "client", 2.0)
    with running_service.start(
        tmp_path_factory.mktemp("clients"),
        mlflow_server.uri,
        models=f"tiny={followed.pointer(name)}",
        workers=1,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clients call loopback themselves, whatever this machine has set."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize(
    "data",
    [FRAME, np.array([1.0, 2.5]), [{"a": 1.0}, {"a": 2.5}], json.dumps(SPLIT)],
    ids=["frame", "array", "list", "text"],
)
def test_mlflows_scoring_client(service: RunningService, data: Any) -> None:
    """It pings, reads the version, and sends frames with their index, arrays, lists and texts."""
    address = urlsplit(service.url)
    client = ScoringServerClient(str(address.hostname), address.port)
    client.wait_server_ready()
    assert client.get_version() == mlflow.__version__
    answer = client.invoke(data)
    assert answer["predictions"] == ANSWER
    assert list(answer.get_predictions()["y"]) == [2.0, 5.0]


def test_mlflows_scoring_client_is_told_of_errors(service: RunningService) -> None:
    """By status and body, as it raises them."""
    address = urlsplit(service.url)
    client = ScoringServerClient(str(address.hostname), address.port)
    with pytest.raises(Exception, match="error code 400"):
        client.invoke(pd.DataFrame({"b": [1.0]}))


def test_databricks_client(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its host pointed here; what is refused is raised without another try."""
    monkeypatch.setenv("DATABRICKS_HOST", service.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "nothing")
    client = get_deploy_client("databricks")
    assert client.predict(endpoint="tiny", inputs=SPLIT)["predictions"] == ANSWER
    with pytest.raises(Exception, match="400"):
        client.predict(endpoint="tiny", inputs={"inputs": {"b": [1.0]}})


def test_mlflows_gateway_client(service: RunningService) -> None:
    """Which asks for an endpoint by its name, at the address that it was made for."""
    client = get_deploy_client(service.url)
    assert client.predict(endpoint="tiny", inputs=SPLIT)["predictions"] == ANSWER
    with pytest.raises((MlflowException, OSError), match="404"):
        client.predict(endpoint="nobody", inputs=SPLIT)


def test_sagemaker_client(service: RunningService) -> None:
    """boto3's, with its `endpoint_url` pointed here, and every header that it may add."""

    def invoke(endpoint: str, body: str) -> dict[str, Any]:
        done = subprocess.run(
            [interpreter_of("boto3"), SAGEMAKER, service.url, endpoint, body],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    answered = invoke("tiny", json.dumps(SPLIT))
    assert answered["content_type"] == "application/json"
    assert json.loads(answered["body"]) == {"predictions": ANSWER}
    assert invoke("tiny", "{")["status"] == 400


def test_a_container_that_is_told_serve_answers_where_sagemaker_asks(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """The word, the port and both paths are SageMaker's, with nothing set for them."""
    name = followed.register_tiny(mlflow_server, "contained", 2.0)
    # An address of this machine's that nobody else listens on.
    host = ".".join(map(str, (127, *(random.randrange(1, 255) for _ in range(3)))))
    unset = {"PORT", "MODELS", "MODELS_FILE"}
    settings = {
        "HOST": host,
        "CACHE_DIR": str(tmp_path / "cache"),
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "MODEL_URI": followed.pointer(name),
    }
    url = f"http://{host}:8080"
    with (tmp_path / "log").open("wb") as log, httpx.Client(trust_env=False) as client:
        container = subprocess.Popen(
            [Path(sys.executable).with_name("hotswap"), "serve"],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if key not in unset} | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            until_s = time.monotonic() + 60
            while _status(client, f"{url}/ping") != 200:
                said = (tmp_path / "log").read_text("utf-8")
                assert container.poll() is None, said
                assert time.monotonic() < until_s, said
                time.sleep(0.1)
            answer = client.post(f"{url}/invocations", json=SPLIT)
        finally:
            container.terminate()
            container.wait(30)
    assert answer.json() == {"predictions": ANSWER}


def _status(client: httpx.Client, url: str) -> int:
    try:
        return client.get(url).status_code
    except httpx.TransportError:
        return 0
