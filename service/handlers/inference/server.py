"""What the protocol says of the server: its name, its health, its models."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ClientException

from service.access.principal import Permission
from service.contracts.faults import decode
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.guards import ANY_HOST, plain_body
from service.handlers.inference.faults import FAULTS
from service.handlers.permissions import PERMISSION, principal_in, visible
from service.readiness import NOT_TOLD, readiness_of, why_not_ready

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
"""Triton's names of what is spoken beyond the protocol; its `perf_analyzer` wants a list."""
SERVER, PROTOCOL = "mlflow-hotswap", "2"
NOT_BY_CALLS = (
    "models are not loaded or unloaded by calls: promote a version in the registry, and it is "
    "served once it has proved itself"
)


class _Filter(msgspec.Struct):
    """What a request for the index may say."""

    ready: bool = False


_FILTER = msgspec.json.Decoder(_Filter)


@get("/v2", exception_handlers=FAULTS, opt={PERMISSION: Permission.ANY})
async def server_metadata() -> dict[str, Any]:
    """Answer with the server's name and the extensions of the protocol that it speaks."""
    return {"name": SERVER, "version": PROTOCOL, "extensions": list(EXTENSIONS)}


@get(
    "/v2/health/live",
    opt={ANY_HOST: True, PERMISSION: Permission.OPEN},
    exception_handlers=FAULTS,
)
async def server_live() -> dict[str, bool]:
    """Answer: whatever reads this has an answer."""
    return {"live": True}


@get(
    "/v2/health/ready",
    opt={ANY_HOST: True, PERMISSION: Permission.HEALTH},
    exception_handlers=FAULTS,
)
async def server_ready(
    request: Request[Any, Any, Any], deployments: NamedDependency[Deployments]
) -> Response[dict[str, Any]]:
    """Answer 200 where `/health` does, else 503; `live` beside `ready`, as the protocol's text."""
    error = why_not_ready(
        deployments, {name: readiness_of(one) for name, one in deployments.items()}
    )
    if not error:
        return Response({"live": True, "ready": True})
    if len(visible(deployments, principal_in(request.scope))) < len(deployments):
        error = NOT_TOLD
    return Response({"live": True, "ready": False, "error": error}, status_code=503)


@post(
    "/v2/repository/index",
    status_code=200,
    opt={PERMISSION: Permission.ANY},
    guards=[plain_body],
    exception_handlers=FAULTS,
)
async def repository_index(
    request: Request[Any, Any, Any], deployments: NamedDependency[Deployments]
) -> list[dict[str, str]]:
    """Answer with each model; with `{"ready": true}` those that can answer. The body may be empty.

    A model of which nothing serves has no version.
    """
    body = await request.body()
    only_ready = decode(_FILTER, body).ready if body.strip() else False
    shown = visible(deployments, principal_in(request.scope))
    return index_of(shown, only_ready=only_ready)


@post(
    ["/v2/repository/models/{name:str}/load", "/v2/repository/models/{name:str}/unload"],
    status_code=400,
    opt={PERMISSION: Permission.ANY},
    guards=[plain_body],
    exception_handlers=FAULTS,
)
async def repository_change() -> None:
    """Refuse to load or unload: what is promoted in the registry is served, and nothing else."""
    raise ClientException(NOT_BY_CALLS)


def index_of(deployments: Mapping[str, Deployment], *, only_ready: bool) -> list[dict[str, str]]:
    """Return each model, or each that can answer, with its version where one serves."""
    found = []
    for name, one in deployments.items():
        known = readiness_of(one)
        if known.error and only_ready:
            continue
        state = "UNAVAILABLE" if known.error else "READY"
        version = {"version": known.version} if known.version else {}
        found.append({"name": name, **version, "state": state, "reason": known.error})
    return found
