"""Real servers for the integration tests."""

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from service.core.versions import StoredVersion
from service.processes.launch import preload
from service.processes.temp import TempFolder
from service.registry.inside import client
from service.workers.pool_settings import PoolSettings, ProcessSettings
from service.workers.preloaded import PRELOADED
from tests.support import handmade_model
from tests.support.fake_models import POOL
from tests.support.guide import Guide, serve_guide
from tests.support.handmade_model import CONTROL
from tools.mlflow_server import MlflowServer


@pytest.fixture(scope="session", autouse=True)
def preloaded_fork_server() -> None:
    """Have the fork server of these tests import what a service's would."""
    preload(PRELOADED)


@pytest.fixture(scope="session")
def guide(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """Serve the guide's model, for tests that ask it things and change nothing."""
    with serve_guide(mlflow_server, tmp_path_factory.mktemp("guide")) as guide:
        yield guide


@pytest.fixture
def registry_client_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set this process up as a registry process for one test, and leave no trace."""
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


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredVersion:
    """Write a version by hand, once."""
    TempFolder(tmp_path_factory.mktemp("children")).use()
    return handmade_model.make(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def pool_settings(tmp_path: Path) -> PoolSettings:
    """Return what a service would have, with one worker and a quick heartbeat."""
    return msgspec.structs.replace(
        POOL,
        load_timeout_s=60,
        process=ProcessSettings(
            temp_dir=tmp_path,
            variables={CONTROL: str(tmp_path)},
            start_timeout_s=60,
            heartbeat_interval_s=0.1,
        ),
    )
