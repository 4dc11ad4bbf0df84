"""What the protocol says of a model: its tensors, whether it is ready, and what Triton adds."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from service.access.principal import Permission
from service.codecs.inference.datatypes import TensorSpec, input_tensors, output_tensors
from service.core.errors import NoVersionError
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.inference.addressed import paths, served, wanted_version
from service.handlers.inference.faults import FAULTS
from service.handlers.permissions import PERMISSION
from service.readiness import readiness_of
from service.serving.model import LoadedModel
from service.serving.named_version import check_version

PLATFORM = "mlflow"


@get(
    paths(""),
    exception_handlers=FAULTS,
    opt={PERMISSION: Permission.ANY},
)
async def model_metadata(
    request: Request[Any, Any, Any], deployment: NamedDependency[Deployment]
) -> Response[dict[str, Any]]:
    """Answer with the tensors of the version that serves; -1 stands for the rows.

    Outputs are what its signature says: none where it says nothing.
    """
    model = served(deployment, wanted_version(request))
    body = {
        "name": deployment.name,
        "versions": [model.version.version],
        "platform": PLATFORM,
        "inputs": [_described(spec) for spec in input_tensors(model.contract)],
        "outputs": [_described(spec) for spec in output_tensors(model.contract)],
    }
    return Response(body, headers=model.interface.names.headers)


@get(
    paths("/ready"),
    exception_handlers=FAULTS,
    opt={PERMISSION: Permission.ANY},
)
async def model_ready(
    request: Request[Any, Any, Any],
    deployment: NamedDependency[Deployment],
    deployments: NamedDependency[Deployments],
) -> dict[str, Any]:
    """Answer 200 while some worker that lives has the version loaded, else 503 with why not."""
    error = why_not_answering(deployments, deployment, wanted_version(request))
    if error:
        raise NoVersionError(error)
    return {"name": deployment.name, "ready": True}


@get(
    paths("/config"),
    exception_handlers=FAULTS,
    opt={PERMISSION: Permission.ANY},
)
async def model_config(
    request: Request[Any, Any, Any], deployment: NamedDependency[Deployment]
) -> Response[dict[str, Any]]:
    """Answer with the same tensors in Triton's words.

    `max_batch_size` is 0, which says that shapes have the rows in them.
    """
    model = served(deployment, wanted_version(request))
    body = {
        "name": deployment.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": [model.version.version]}},
        "input": [_configured(spec) for spec in input_tensors(model.contract)],
        "output": [_configured(spec) for spec in output_tensors(model.contract)],
    }
    return Response(body, headers=model.interface.names.headers)


@get(
    paths("/stats"),
    exception_handlers=FAULTS,
    opt={PERMISSION: Permission.ANY},
)
async def model_statistics(
    request: Request[Any, Any, Any], deployment: NamedDependency[Deployment]
) -> dict[str, Any]:
    """Answer with how many requests the version that serves answered and failed since its load."""
    return {"model_stats": [_counted(deployment, served(deployment, wanted_version(request)))]}


def why_not_answering(deployments: Deployments, deployment: Deployment, wanted: str | None) -> str:
    """Say why a model can't answer, '' where it can. Raise UnknownVersionError."""
    model = deployment.routes.current
    if model is not None:
        check_version(deployment.name, wanted, model.version)
    return "the service is ending" if deployments.draining else readiness_of(deployment).error


def _counted(deployment: Deployment, model: LoadedModel) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "version": model.version.version,
        "inference_stats": {
            "success": {"count": model.answered},
            "fail": {"count": model.failed},
        },
    }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}


def _configured(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": tritons_type(spec), "dims": spec.shape}


def tritons_type(spec: TensorSpec) -> str:
    """Return a datatype as Triton's configurations name it."""
    return f"TYPE_{'STRING' if spec.datatype == 'BYTES' else spec.datatype}"
