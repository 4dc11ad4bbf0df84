"""Two services that people look at in a real browser: one open to all, one that wants keys."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from service.access.keys_file import add_key
from service.access.principal import Scope
from tests.support.browser import CHROMIUM, Visitor, launch, visiting
from tests.support.hostile_model import ANSWERS, COLUMN
from tests.support.python_models import SUPPORT, register_picky
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.python_models import register_python_model
from tools.running_service import RunningService, start

Visits = Callable[..., AbstractContextManager[Visitor]]
Told = Callable[[str], None]
_TOLD = pytest.StashKey[list[str]]()
HOSTILE = "<img src=x onerror=alert(1)>&\"'"
"""The name of a model, here and in the registry."""
REASON = "<script>alert('reason')</script><img src=x onerror=alert(3)>"
KEYS = {
    "looks": ((Scope.READ,), None),
    "predicts": ((Scope.PREDICT,), None),
    "operates": ((Scope.ADMIN,), None),
    "sees-one": ((Scope.READ, Scope.PREDICT), ("steady",)),
    "sees-none": ((Scope.READ,), ("no-such-model",)),
}


@dataclass
class House:
    """A service, what it is started with, and how its models are called in the registry."""

    mlflow_uri: str
    folder: Path
    settings: dict[str, Any]
    registered: dict[str, str]
    keys: dict[str, str]
    _service: RunningService | None = None

    @property
    def service(self) -> RunningService:
        """The process that serves now."""
        assert self._service is not None
        return self._service

    @property
    def url(self) -> str:
        """Where it is."""
        return self.service.url

    def start(self) -> None:
        """Start it, on the port that it had before."""
        self._service = start(self.folder, self.mlflow_uri, wait=False, **self.settings)

    def wait_ready(self, name: str, key: str) -> None:
        """Wait until a model serves, which is asked for with a key."""
        headers = {"authorization": f"Bearer {self.keys[key]}"}
        path = f"/v2/models/{name}/ready"
        self.service.wait_until(
            lambda: self.service.client.get(path, headers=headers).status_code == 200,
            f"{name} serves",
        )

    def stop(self) -> None:
        """End it, if it was started."""
        if self._service is not None:
            self._service.stop()


@pytest.fixture
def told(pytestconfig: pytest.Config) -> Told:
    """Return what notes a line to be shown beside the results of all tests."""
    return pytestconfig.stash.setdefault(_TOLD, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what tests have noted."""
    for line in config.stash.get(_TOLD, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests; each test has a context of its own in it."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visits(browser: Browser) -> Visits:
    """Return what opens a browser's context for an origin."""

    def visit(origin: str, *arguments: Any, **more: Any) -> AbstractContextManager[Visitor]:
        return visiting(browser, origin, *arguments, **more)

    return visit


@pytest.fixture(scope="session")
def houses(
    mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, House]]:
    """Start both together."""
    both = (
        _open_to_all(mlflow_server, tmp_path_factory.mktemp("open")),
        _keyed(mlflow_server, tmp_path_factory.mktemp("keyed")),
    )
    with ThreadPoolExecutor(2) as threads:
        try:
            list(threads.map(House.start, both))
            for one in both:
                one.service.wait_healthy()
            # A version that is refused beside one that serves: the service is ready by another one.
            both[1].wait_ready("degraded", "operates")
            mlflow_server.set_alias(both[1].registered["degraded"], "champion", 2)
            yield both
        finally:
            list(threads.map(House.stop, both))


@pytest.fixture(scope="session")
def house(houses: tuple[House, House]) -> House:
    """Return the service that is open to all who reach it."""
    return houses[0]


@pytest.fixture(scope="session")
def guarded(houses: tuple[House, House]) -> House:
    """Return the service that wants keys, of twenty models."""
    return houses[1]


def _open_to_all(server: MlflowServer, folder: Path) -> House:
    registered = {"plain": unique_name("plain"), HOSTILE: HOSTILE}
    server.register_tiny(registered["plain"], 2.0)
    example = pd.DataFrame({COLUMN: ["</textarea><script>alert(4)</script>"]})
    with server.active() as mlflow:
        signature = mlflow.models.infer_signature(example, pd.DataFrame({ANSWERS: ["a"]}))
    register_python_model(
        *(server, HOSTILE, SUPPORT / "hostile_model.py", {}),
        example=example,
        signature=signature,
    )
    client = server.client
    client.set_registered_model_tag(HOSTILE, "tag", REASON)
    client.set_model_version_tag(HOSTILE, "1", "tag", REASON)
    client.update_model_version(HOSTILE, "1", description=REASON)
    for name in registered.values():
        server.set_alias(name, "champion", 1)
    settings = _settings(folder, registered) | {"default_model": "plain", "ready_when": "all"}
    return House(server.uri, folder, settings, registered, {})


def _keyed(server: MlflowServer, folder: Path) -> House:
    """Have models in each state, and more of one, so that there are twenty."""
    states = ("steady", "degraded", "refused", "loading")
    registered = {name: unique_name(name) for name in states}
    for name in ("steady", "degraded"):
        server.register_tiny(registered[name], 2.0)
    register_picky(server, registered["degraded"], load_fault=REASON)
    register_picky(server, registered["refused"], load_fault=REASON)
    register_picky(server, registered["loading"], load_s=3_600)
    registered |= {f"empty-{number:02}": registered["steady"] for number in range(16)}
    for name in states:
        server.set_alias(registered[name], "champion", 1)
    keys = {
        name: add_key(folder / "keys.json", name, scopes, models)
        for name, (scopes, models) in KEYS.items()
    }
    settings = _settings(folder, registered) | {
        "default_model": "steady",
        "api_keys_file": folder / "keys.json",
        "load_timeout_s": 600,
    }
    return House(server.uri, folder, settings, registered, keys)


def _settings(folder: Path, served: dict[str, str]) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, registered in served.items():
        alias = "nobody" if name.startswith("empty") else "champion"
        # JSON's texts are TOML's.
        uri = json.dumps(f"models:/{registered}@{alias}")
        lines += [f"[models.{json.dumps(name)}]", f"uri = {uri}"]
    (folder / "models.toml").write_text("\n".join(lines), "utf-8")
    file = folder / "models.toml"
    return {"models_file": file, "workers": 1, "port": free_port(), "access_log": True}
