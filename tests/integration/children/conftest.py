"""How the children of these tests are started."""

import asyncio
import sysconfig
from pathlib import Path

import pytest

from service.processes.temp import TempFolder
from tests.support.children import (
    ROOT,
    Interpreter,
    make_environment,
)
from tests.support.loops import ByCommandLoop


@pytest.fixture(scope="session", autouse=True)
def short_temp_dir(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Put nothing of these tests' fork server anywhere else."""
    TempFolder(tmp_path_factory.mktemp("children")).use()


@pytest.fixture(autouse=True)
async def chosen_interpreter(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start children by command line, with an interpreter of their own, where the loop says so."""
    if isinstance(asyncio.get_running_loop(), ByCommandLoop):
        found: Path = request.getfixturevalue("another_interpreter")
        monkeypatch.setattr(Interpreter, "chosen", found)
        # Where what these children run is: it is in no environment.
        monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="session")
def another_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment of its own, which has what ours has, except for `service`."""
    return make_environment(tmp_path_factory.mktemp("environment"), sysconfig.get_path("purelib"))
