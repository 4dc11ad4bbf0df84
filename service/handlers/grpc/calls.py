"""What the protocol says of the server and its models, and those calls that Triton adds."""

from typing import Any

import grpc

from service.access.principal import Principal
from service.codecs.inference.datatypes import TensorSpec, input_tensors, output_tensors
from service.deployment import Deployment
from service.deployments import Deployments
from service.handlers.grpc import open_inference_pb2 as messages
from service.handlers.grpc.context import Context
from service.handlers.grpc.faults import end
from service.handlers.grpc.trailers import end_with
from service.handlers.inference.addressed import served
from service.handlers.inference.models import PLATFORM, tritons_type, why_not_answering
from service.handlers.inference.server import (
    EXTENSIONS,
    NOT_BY_CALLS,
    PROTOCOL,
    SERVER,
    index_of,
)
from service.handlers.permissions import chosen, visible
from service.readiness import readiness_of, why_not_ready
from service.serving.model import LoadedModel


class Calls:
    """One method a call; each answers a caller's message, or raises an error of the service's."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def server_live(self, _: Any, __: Context, ___: Principal) -> messages.ServerLiveResponse:
        """Answer: whatever reads this has an answer."""
        return messages.ServerLiveResponse(live=True)

    def server_ready(self, _: Any, __: Context, ___: Principal) -> messages.ServerReadyResponse:
        """Answer whether `/health` is green."""
        known = {name: readiness_of(one) for name, one in self._deployments.items()}
        return messages.ServerReadyResponse(ready=not why_not_ready(self._deployments, known))

    def model_ready(
        self, request: messages.ModelReadyRequest, _: Context, caller: Principal
    ) -> messages.ModelReadyResponse:
        """Answer whether a model can answer."""
        deployment = chosen(self._deployments, caller, request.name)
        error = why_not_answering(self._deployments, deployment, request.version or None)
        return messages.ModelReadyResponse(ready=not error)

    def server_metadata(
        self, _: Any, __: Context, ___: Principal
    ) -> messages.ServerMetadataResponse:
        """Answer with the server's name and what it speaks."""
        return messages.ServerMetadataResponse(
            name=SERVER, version=PROTOCOL, extensions=list(EXTENSIONS)
        )

    def model_metadata(
        self, request: messages.ModelMetadataRequest, context: Context, caller: Principal
    ) -> messages.ModelMetadataResponse:
        """Answer with the tensors of the version that serves."""
        deployment, model = self._served(request, context, caller)
        return messages.ModelMetadataResponse(
            name=deployment.name,
            versions=[model.version.version],
            platform=PLATFORM,
            inputs=[_described(spec) for spec in input_tensors(model.contract)],
            outputs=[_described(spec) for spec in output_tensors(model.contract)],
        )

    def model_config(
        self, request: messages.ModelConfigRequest, context: Context, caller: Principal
    ) -> messages.ModelConfigResponse:
        """Answer with the same tensors in Triton's words."""
        deployment, model = self._served(request, context, caller)
        # Triton's versions are numbers, and so are a registry's; a run's are not.
        version = model.version.version
        specific = messages.ModelVersionPolicy.Specific(
            versions=[int(version)] if version.isascii() and version.isdigit() else []
        )
        config = messages.ModelConfig(
            name=deployment.name,
            platform=PLATFORM,
            backend=PLATFORM,
            max_batch_size=0,
            version_policy=messages.ModelVersionPolicy(specific=specific),
            input=[
                messages.ModelInput(name=spec.name, data_type=tritons_type(spec), dims=spec.shape)
                for spec in input_tensors(model.contract)
            ],
            output=[
                messages.ModelOutput(name=spec.name, data_type=tritons_type(spec), dims=spec.shape)
                for spec in output_tensors(model.contract)
            ],
        )
        return messages.ModelConfigResponse(config=config)

    def model_statistics(
        self, request: messages.ModelStatisticsRequest, context: Context, caller: Principal
    ) -> messages.ModelStatisticsResponse:
        """Answer with counts of the version that serves.

        Of every model that the caller may use, where none is named.
        """
        if request.name:
            counted = [self._served(request, context, caller)]
        else:
            every = visible(self._deployments, caller).values()
            counted = [(one, one.routes.current) for one in every if one.routes.current is not None]
        return messages.ModelStatisticsResponse(model_stats=[_counted(*pair) for pair in counted])

    def repository_index(
        self, request: messages.RepositoryIndexRequest, _: Context, caller: Principal
    ) -> messages.RepositoryIndexResponse:
        """Answer with each model that the caller may use, or with each of them that can answer."""
        index = index_of(visible(self._deployments, caller), only_ready=request.ready)
        kind = messages.RepositoryIndexResponse.ModelIndex
        return messages.RepositoryIndexResponse(models=[kind(**one) for one in index])

    def repository_model_load(
        self, _: Any, context: Context, __: Principal
    ) -> messages.RepositoryModelLoadResponse:
        """Refuse: what is promoted in the registry is served, and nothing else."""
        end(context, grpc.StatusCode.INVALID_ARGUMENT, NOT_BY_CALLS)
        return messages.RepositoryModelLoadResponse()

    def repository_model_unload(
        self, _: Any, context: Context, __: Principal
    ) -> messages.RepositoryModelUnloadResponse:
        """Refuse the same."""
        end(context, grpc.StatusCode.INVALID_ARGUMENT, NOT_BY_CALLS)
        return messages.RepositoryModelUnloadResponse()

    def _served(
        self, request: Any, context: Context, caller: Principal
    ) -> tuple[Deployment, LoadedModel]:
        deployment = chosen(self._deployments, caller, request.name)
        model = served(deployment, request.version or None)
        end_with(context, model.interface.names.trailers)
        return deployment, model


def _described(spec: TensorSpec) -> messages.ModelMetadataResponse.TensorMetadata:
    return messages.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )


def _counted(deployment: Deployment, model: LoadedModel) -> messages.ModelStatistics:
    counts = messages.InferStatistics(
        success=messages.StatisticDuration(count=model.answered),
        fail=messages.StatisticDuration(count=model.failed),
    )
    return messages.ModelStatistics(
        name=deployment.name, version=model.version.version, inference_stats=counts
    )
