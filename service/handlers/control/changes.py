"""The calls of operators: `/reload-model`, `/model/pin`, and the same of a named model."""

from typing import Annotated, Any

import anyio
import msgspec
from litestar import HttpMethod, Request, Response, delete, post, route
from litestar.di import NamedDependency
from litestar.params import RawBody

from service.access.principal import Permission
from service.control.desired import ChangeRequest
from service.core.errors import (
    ContractViolationError,
    MalformedBodyError,
    ReloadTimeoutError,
)
from service.core.versions import ModelVersion
from service.deployment import Deployment
from service.handlers.guards import plain_body, require_json
from service.handlers.permissions import PERMISSION

PIN_PATHS = ["/model/pin", "/models/{name:str}/pin"]


class ReloadReply(msgspec.Struct):
    """The result of a reload."""

    status: str
    message: str
    stage: str
    model_version: str


@post(
    ["/reload-model", "/models/{name:str}/reload"],
    status_code=200,
    opt={PERMISSION: Permission.ADMIN},
)
async def reload_model(deployment: NamedDependency[Deployment]) -> ReloadReply:
    """Look at the registry now, and answer once what it promotes serves or was refused.

    Nothing that serves already is loaded again. A refused version gets another try.
    """
    change = deployment.desired.reload()
    version = await _fulfilled(change, deployment)
    verb = "now serves" if change.loaded else "served already"
    return ReloadReply(
        "success", f"version {version.version} {verb}", deployment.label, version.version
    )


@route(PIN_PATHS, http_method=[HttpMethod.OPTIONS], opt={PERMISSION: Permission.OPEN})
async def pin_methods() -> Response[None]:
    """Answer with both methods of these paths: the framework's own answer has the first alone.

    To be routed before those.
    """
    return Response(None, status_code=204, headers={"allow": "DELETE, OPTIONS, POST"})


@post(
    PIN_PATHS,
    status_code=200,
    guards=[plain_body],
    opt={PERMISSION: Permission.ADMIN},
)
async def pin(
    request: Request[Any, Any, Any],
    body: RawBody,
    deployment: NamedDependency[Deployment],
) -> ReloadReply:
    """Serve `{"version": "1"}` until it is unpinned, through the same gates as any other.

    It is pinned across restarts. A version that a gate refuses is not pinned.
    """
    require_json(request)
    number = pinned_version(body)
    version = await _fulfilled(deployment.desired.pin(number), deployment)
    message = f"version {version.version} is pinned and serves"
    return ReloadReply("success", message, deployment.label, version.version)


@delete(
    PIN_PATHS,
    status_code=200,
    opt={PERMISSION: Permission.ADMIN},
)
async def unpin(deployment: NamedDependency[Deployment]) -> ReloadReply:
    """Take the pin away, and answer once what the registry promotes serves or was refused."""
    version = await _fulfilled(deployment.desired.unpin(), deployment)
    message = f"the registry is followed again: version {version.version} serves"
    return ReloadReply("success", message, deployment.label, version.version)


class _PinBody(msgspec.Struct):
    # Bounded before anything is made of them: 19 digits are what a 64-bit integer has.
    version: (
        Annotated[str, msgspec.Meta(max_length=19)]
        | Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
        | Annotated[float, msgspec.Meta(ge=0, le=2**63 - 1, multiple_of=1)]
    )
    """JSON has one type of numbers: 1.0 is the version 1."""


_decode_pin = msgspec.json.Decoder(_PinBody).decode


def pinned_version(body: bytes) -> str:
    """Return the version that a body names. Raise ContractViolationError or MalformedBodyError."""
    try:
        version = _decode_pin(body).version
        return version if isinstance(version, str) else str(int(version))
    except msgspec.ValidationError:
        wanted = "a version number of at most 19 digits"
        raise ContractViolationError("version", None, wanted, "something else") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedBodyError(f'the body is no JSON such as {{"version": "1"}}: {error}') from (
            None
        )


async def _fulfilled(change: ChangeRequest, deployment: Deployment) -> ModelVersion:
    """Wait until what was asked for serves. Raise why it does not, and ReloadTimeoutError."""
    limit_s = deployment.settings.load_timeout_s
    try:
        with anyio.fail_after(limit_s):
            return await change.settled()
    except TimeoutError:
        raise ReloadTimeoutError(
            f"not done within {limit_s:g} s (LOAD_TIMEOUT_S); it goes on"
        ) from None
    finally:
        deployment.desired.withdraw(change)
