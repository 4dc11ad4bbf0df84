"""One service for many faults: it follows a registry through a proxy that can break things."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import followed
from tests.support.fault_proxy import FaultProxy
from tests.support.followed import ALIAS
from tests.support.footprint import Footprint
from tests.support.traffic import steady_traffic
from tools.load import Hammer
from tools.mlflow_server import MlflowServer
from tools.running_service import RunningService

CLIENTS = 2


@dataclass
class Rig:
    """A service, what is broken under it, and what it is compared with."""

    server: MlflowServer
    proxy: FaultProxy
    service: RunningService
    name: str
    factors: dict[str, float]
    """The factor that each version answers with."""
    usual: Footprint

    def health(self) -> dict[str, Any]:
        """Return `/health`, which must be green."""
        health: dict[str, Any] = self.service.get("/health").raise_for_status().json()
        return health

    def serving(self) -> str:
        """Return the version that serves."""
        version: str = self.health()["model_version"]
        return version

    def promote(self, version: str) -> str:
        """Point the alias at a version."""
        self.server.set_alias(self.name, ALIAS, version)
        return version

    def promote_other(self) -> str:
        """Point the alias at version 1 or 2, at the one that does not serve."""
        return self.promote("2" if self.serving() == "1" else "1")

    def promote_new(self, factor: float) -> str:
        """Register a version and point the alias at it: its artifacts are still to be fetched."""
        version = self.server.register_tiny(self.name, factor)
        self.factors[version] = factor
        return self.promote(version)

    def logged_since(self, count: int, event: str) -> list[dict[str, Any]]:
        """Return the events of one name, but not the first `count` events of all."""
        return [e for e in self.service.events()[count:] if e.get("event") == event]

    def traffic(self) -> AbstractContextManager[Hammer]:
        """Send requests meanwhile: all are answered, and then nothing more is taken than usual."""
        return steady_traffic(self.service, CLIENTS, self.usual)

    @contextlib.contextmanager
    def exact_traffic(self) -> Iterator[Hammer]:
        """Send requests, and have each answered by the version that it names."""
        with self.traffic() as hammer:
            yield hammer
        assert hammer.mixed(self.factors) == []


@pytest.fixture(scope="session")
def rig(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Start a service behind a proxy, with versions 1 and 2 fetched and version 1 promoted."""
    factors = {"1": 2.0, "2": 3.0}
    name = followed.register_tiny(mlflow_server, "broken", *factors.values())
    folder = tmp_path_factory.mktemp("faults")
    with (
        FaultProxy(mlflow_server.uri) as proxy,
        followed.serving(folder, proxy.uri, name, keep_warm=False, registry_timeout_s=2) as service,
    ):
        usual = Footprint.of(service)
        rig = Rig(mlflow_server, proxy, service, name, factors, usual)
        # What a first swap opens for good is no leak.
        for version in ("2", "1"):
            service.wait_serving(rig.promote(version))
        with Hammer(service.url, CLIENTS) as hammer:
            service.wait_until(lambda: all(hammer.seen), "answers")
        service.wait_until(lambda: len(service.children()) + 1 <= usual.processes, "one version")
        rig.usual = Footprint.of(service)
        yield rig
