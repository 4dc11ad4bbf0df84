"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests.support import mlflow_server as mlflow_server_module
from tests.support.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on the loop that the service runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Start a real MLflow server for the whole session; name models with `unique_name()`."""
    server = mlflow_server_module.start(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()
