"""Real servers for the integration tests."""

from collections.abc import Iterator

import pytest

from tests.support import mlflow_server as mlflow_server_module
from tests.support.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Start a real MLflow server for the whole session; name models with `unique_name()`."""
    server = mlflow_server_module.start(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()
