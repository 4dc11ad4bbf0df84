"""What all tests share."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.support import loops
from tools import mlflow_server as mlflow_server_module
from tools.mlflow_server import MlflowServer


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run a test on the loops that its mark names, else on asyncio's own."""
    mark = item.get_closest_marker("loops")
    return {name: loops.ALL[name] for name in mark.args} if mark is not None else loops.USUAL


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Start a real MLflow server for the whole session; name models with `unique_name()`."""
    server = mlflow_server_module.start(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()
