"""Real servers for the integration tests."""

import logging
import os
import warnings
from collections.abc import Iterator

import pytest

from service.registry import client
from tests.support.guide import Guide, serve_guide
from tests.support.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def guide(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """Serve the guide's model, for tests that ask it things and change nothing."""
    with serve_guide(mlflow_server, tmp_path_factory.mktemp("guide")) as guide:
        yield guide


@pytest.fixture
def scout_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set this process up as a scout for one test, and leave no trace."""
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(variable)
    before = dict(os.environ)
    level = logging.getLogger("mlflow").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.configure(2)
        yield
    logging.getLogger("mlflow").setLevel(level)
    os.environ.clear()
    os.environ.update(before)
