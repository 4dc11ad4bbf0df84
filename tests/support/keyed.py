"""A service in this process that wants keys, in front of a version without processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from litestar import Litestar

from service.access.keys_file import add_key
from service.access.principal import Scope
from service.app import create_app
from service.deployment import Deployment
from service.deployments import Deployments
from service.serving.routes import Routes
from service.settings.environment import load_settings
from service.telemetry.metrics.metrics import Metrics
from service.telemetry.observer import Observer
from tests.support.fake_workers import FakeWorkers
from tests.support.served_version import serving
from tools.mlflow_server import free_port

MODEL, OTHER = "one", "other"
KEYS: dict[str, tuple[tuple[Scope, ...], tuple[str, ...] | None]] = {
    "predicts": ((Scope.PREDICT,), None),
    "predicts-one": ((Scope.PREDICT,), (MODEL,)),
    "predicts-other": ((Scope.PREDICT,), (OTHER,)),
    "reads": ((Scope.READ,), None),
    "reads-other": ((Scope.READ,), (OTHER,)),
    "administers": ((Scope.ADMIN,), None),
}
"""The scopes and models of each key, by its name."""


class Keyed(NamedTuple):
    """The application, a client without a key, and the keys by their names."""

    app: Litestar
    client: httpx.AsyncClient
    keys: dict[str, str]
    deployments: Deployments

    def bearer(self, name: str) -> dict[str, str]:
        """Return the header that brings a key."""
        return {"authorization": f"Bearer {self.keys[name]}"}


class _Deployment(Deployment):
    """A deployment, as far as requests for predictions ask for it."""

    def __init__(self, name: str, routes: Routes, observer: Observer) -> None:
        self.name, self.routes, self.observer = name, routes, observer


class _Keeper(NamedTuple):
    deployment: Any


def write_keys(file: Path) -> dict[str, str]:
    """Make all of them, and return each by its name."""
    return {name: add_key(file, name, *what) for name, what in KEYS.items()}


@asynccontextmanager
async def keyed(folder: Path, **settings: str) -> AsyncIterator[Keyed]:
    """Have such a service, whose default model is the first of two."""
    keys = write_keys(folder / "keys.json")
    known = load_settings(
        {
            "CACHE_DIR": str(folder / "cache"),
            "API_KEYS_FILE": str(folder / "keys.json"),
            "MODELS": f"{MODEL}=models:/{MODEL}@c,{OTHER}=models:/{OTHER}@c",
            "DEFAULT_MODEL": MODEL,
            "WEBHOOK_SECRET": "s" * 32,
            "GRPC_PORT": str(free_port()),
            **settings,
        }
    )
    deployments = Deployments(known)
    # What is not running has no gauges to look at.
    deployments.metrics = Metrics(list)
    async with serving(FakeWorkers()) as (deployed, _):
        keepers: Any = deployments._keepers
        for name in (MODEL, OTHER):
            observer = deployments.metrics.observer(name)
            keepers[name] = _Keeper(_Deployment(name, deployed.routes, observer))
        app = create_app(deployments)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield Keyed(app, client, keys, deployments)
