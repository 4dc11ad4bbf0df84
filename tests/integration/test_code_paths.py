"""Models that ship modules in `code_paths`: each version runs its own code, or is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.python_models import SHIPPING
from tools.mlflow_server import MlflowServer, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

ALIAS = "shipped"


@dataclass
class Harbour:
    """A service for models that ship code, and a folder to write that code in."""

    server: MlflowServer
    service: RunningService
    name: str
    folder: Path

    def register(self, module: str, shipped: dict[str, str]) -> str:
        """Register a version that answers by `module`, with files by path and text."""
        folder = self.folder / unique_name("code")
        for path, text in shipped.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return register_python_model(
            self.server,
            self.name,
            SHIPPING,
            {"module": module},
            code_paths=sorted(folder.iterdir()),
        )

    def promote(self, version: str) -> httpx.Response:
        """Move the pointer, and wait for what comes of it."""
        self.server.set_alias(self.name, ALIAS, version)
        return self.service.post("/reload-model")

    def answer(self) -> tuple[str, float]:
        """Return which version answered, and by which factor."""
        reply = self.service.predict({"a": 1.0}).raise_for_status().json()
        return reply["model_version"], reply["predictions"][0]["y"]


@pytest.fixture(scope="module")
def harbour(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harbour]:
    """Serve a first version that ships a module `rates`."""
    folder, name = tmp_path_factory.mktemp("harbour"), unique_name("harbour")
    # Until it serves, the service can only wait for the version that needs the rest to register.
    with start(
        folder, mlflow_server.uri, wait=False, model_uri=f"models:/{name}@{ALIAS}"
    ) as service:
        harbour = Harbour(mlflow_server, service, name, folder)
        version = harbour.register("rates", {"rates.py": "FACTOR = 2.0\n"})
        mlflow_server.set_alias(name, ALIAS, version)
        service.wait_healthy()
        yield harbour


def test_versions_that_ship_the_same_module_each_run_their_own(harbour: Harbour) -> None:
    """Two modules `rates`, promoted to and fro: numbers and versions always belong together."""
    second = harbour.register("rates", {"rates.py": "FACTOR = 3.0\n"})
    assert harbour.promote("1").status_code == 200
    assert harbour.answer() == ("1", 2.0)
    assert harbour.promote(second).status_code == 200
    assert harbour.answer() == (second, 3.0)
    assert harbour.promote("1").status_code == 200
    assert harbour.answer() == ("1", 2.0)


def test_a_model_may_ship_a_package_named_as_ours(harbour: Harbour) -> None:
    """Its `service` is its own, with its own `service.core`; ours goes on beside it."""
    version = harbour.register(
        "service.core",
        {
            "service/__init__.py": "BASE = 2.0\n",
            "service/core.py": "from service import BASE\nFACTOR = BASE + 3.0\n",
        },
    )
    answer = harbour.promote(version)
    assert answer.status_code == 200, answer.text
    assert harbour.answer() == (version, 5.0)


@pytest.mark.parametrize("module", ["yaml", "pandas"])
def test_a_model_that_ships_a_module_we_need_is_refused_by_name(
    harbour: Harbour, module: str
) -> None:
    """What the worker has loaded itself can't be another's: the incumbent serves on."""
    before = harbour.answer()
    version = harbour.register(module, {f"{module}.py": "FACTOR = 9.0\n"})
    answer = harbour.promote(version)
    assert answer.status_code == 409
    told = answer.json()
    assert told["verdicts"][-1]["outcome"] == "refuse"
    assert f"a module named '{module}'" in told["detail"]
    assert harbour.answer() == before
