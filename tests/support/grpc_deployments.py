"""A server of gRPC in this process, in front of a version without processes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service.access.gate import Gate
from service.core.errors import UnknownModelError
from service.handlers.grpc.server import GrpcServer
from service.serving.turns import Turns
from service.settings.service import ServiceSettings
from service.telemetry.access_log import AccessLog
from service.telemetry.metrics.metrics import Metrics
from tests.support.served_version import Deployed
from tools.mlflow_server import free_port

MODEL = "default"


class _Named:
    """A deployment, as far as it is asked for."""

    name = MODEL
    why_not = ""

    def __init__(self, deployed: Deployed) -> None:
        self.routes = deployed.routes
        self.observer = deployed.observer


class OneDeployment(Mapping[str, Any]):
    """The deployments of a service that has one."""

    def __init__(self, deployed: Deployed, service: ServiceSettings) -> None:
        self._deployed = self.default = _Named(deployed)
        self.draining = False
        self.service = service
        self.metrics = Metrics(list)

    @property
    def settings(self) -> "OneDeployment":
        """The settings, as far as they are asked for."""
        return self

    def __getitem__(self, name: str) -> Any:
        return {MODEL: self._deployed}[name]

    def __iter__(self) -> Any:
        return iter((MODEL,))

    def __len__(self) -> int:
        return 1

    def named(self, name: str) -> Any:
        """Return the deployment of this name. Raise UnknownModelError."""
        if name != MODEL:
            raise UnknownModelError(name, [MODEL])
        return self._deployed


@asynccontextmanager
async def grpc_serving(
    deployed: Deployed, access: AccessLog | None = None, gate: Gate | None = None, **settings: Any
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    """Serve it on loopback; give the server, and a channel to it."""
    service = ServiceSettings(grpc_port=free_port(), **settings)
    deployments: Any = OneDeployment(deployed, service)
    server = GrpcServer(
        deployments, deployed.plane, Turns(), service, gate or Gate((), wants_keys=False), access
    )
    address = f"127.0.0.1:{service.grpc_port}"
    async with server.running(5.0):
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield server, channel
