"""`grpc.health.v1`: whether the service, or one of its models, can answer."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc
from grpc_health.v1 import health_pb2

from service.access.gate import no_key
from service.access.principal import Permission, Principal
from service.deployments import Deployments
from service.handlers.grpc.context import Context
from service.handlers.permissions import require_model
from service.readiness import readiness_of, why_not_ready

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_Status = health_pb2.HealthCheckResponse.ServingStatus
_LOOK_S = 0.2
"""So often is looked whether what is watched has changed."""
_TOGETHER = 64
"""More watches than this look more seldom, so that all of them take no more of the event loop."""


class Health:
    """Answers for '', the service as a whole, for the protocol's own name, and for each model."""

    def __init__(self, deployments: Deployments, whole: frozenset[str]) -> None:
        """`whole` has the names that stand for the service as a whole."""
        self._deployments = deployments
        self._whole = whole
        self._ending = anyio.Event()
        self._watches = 0

    def end(self) -> None:
        """Have everything that watches told that nothing serves, and be done."""
        self._ending.set()

    def check(
        self, request: health_pb2.HealthCheckRequest, context: Context, caller: Principal
    ) -> health_pb2.HealthCheckResponse:
        """Answer how it stands now; NOT_FOUND for a name that there is not.

        Raise UnauthorizedError or PermissionDeniedError for a model that the caller may not use.
        """
        self._require(request.service, caller)
        status = self._status_of(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("no service and no model has this name")
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(
        self, request: health_pb2.HealthCheckRequest, _: Context, caller: Principal
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answer how it stands, and again whenever that has changed, until the service ends."""
        self._require(request.service, caller)
        self._watches += 1
        told = None
        try:
            while True:
                ends = self._ending.is_set()
                status = _Status.NOT_SERVING if ends else self._status_of(request.service)
                if status != told:
                    yield health_pb2.HealthCheckResponse(status=status)
                    told = status
                if ends:
                    return
                with anyio.move_on_after(_LOOK_S * max(1.0, self._watches / _TOGETHER)):
                    await self._ending.wait()
        finally:
            self._watches -= 1

    def _require(self, name: str, caller: Principal) -> None:
        """Let anything ask for the service as a whole, and those with a key for their models."""
        if name not in self._whole:
            if not caller.may(Permission.ANY):
                raise no_key()
            require_model(caller, name)

    def _status_of(self, name: str) -> Any:
        """Return one of the statuses."""
        deployments = self._deployments
        if name in self._whole:
            known = {model: readiness_of(one) for model, one in deployments.items()}
            error = why_not_ready(deployments, known)
        else:
            deployment = deployments.find(name)
            if deployment is None:
                return _Status.SERVICE_UNKNOWN
            error = "ending" if deployments.draining else readiness_of(deployment).error
        return _Status.NOT_SERVING if error else _Status.SERVING
