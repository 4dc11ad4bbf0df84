"""The Open Inference Protocol over gRPC, by a client of our own: every rule of its text."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from service.codecs.inference.datatypes import datatype_of
from service.handlers.grpc.open_inference_pb2 import (
    ModelConfigRequest,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelStatisticsRequest,
    RepositoryIndexRequest,
    RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
)
from tests.support.grpc_caller import SERVICE, GrpcCaller, calling
from tests.support.guide import Guide
from tests.support.inference_bodies import packed, unpacked
from tests.support.inference_messages import raw, typed

ROWS = 5


@pytest.fixture(scope="module")
def caller(guide: Guide) -> Iterator[GrpcCaller]:
    """Give a client of the guide's service."""
    with calling(guide.grpc_address) as caller:
        yield caller


@pytest.fixture(scope="module")
def name(guide: Guide) -> str:
    """Return what the guide's model is called."""
    return str(guide.service.get("/models").json()["default"])


def columns(guide: Guide, rows: int = ROWS) -> dict[str, tuple[str, list[Any]]]:
    """Return some months: by name the datatype and the values."""
    inputs = guide.service.info()["serving"]["signature"]["inputs"]
    months = guide.months.head(rows)
    return {
        spec["name"]: (datatype_of(spec["type"]), months[spec["name"]].tolist()) for spec in inputs
    }


def raw_request(guide: Guide, name: str, rows: int = ROWS, **more: Any) -> Any:
    """Return a request with the bytes of each column."""
    sent = {
        column: (datatype, [rows], packed(datatype, values))
        for column, (datatype, values) in columns(guide, rows).items()
    }
    return raw(sent, model_name=name, **more)


def typed_request(guide: Guide, name: str, **more: Any) -> Any:
    """Return a request with columns in fields of their types."""
    inputs = [
        typed(column, datatype, [ROWS, 1], values)
        for column, (datatype, values) in columns(guide).items()
    ]
    return ModelInferRequest(model_name=name, inputs=inputs, **more)


def numbers(answer: Any) -> "np.ndarray[Any, Any]":
    """Return an answer's numbers, a row each."""
    assert len(answer.outputs) == len(answer.raw_output_contents)
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return np.array([unpacked(output.datatype, data) for output, data in pairs]).T


def test_the_numbers_are_the_models_in_each_form(
    guide: Guide, caller: GrpcCaller, name: str
) -> None:
    """Raw bytes and typed fields; the version stands in the answer and behind it."""
    for request in (raw_request(guide, name, id="7"), typed_request(guide, name, id="7")):
        answer, trailers = caller.with_trailers("ModelInfer", request)
        assert np.array_equal(numbers(answer), guide.expected(ROWS))
        assert (answer.model_name, answer.model_version, answer.id) == (name, guide.version, "7")
        assert [list(one.shape) for one in answer.outputs] == [[ROWS]] * len(answer.outputs)
        assert not any(one.HasField("contents") for one in answer.outputs)
        assert trailers["x-model-version"] == guide.version


def test_outputs_versions_and_parameters_are_honoured(
    guide: Guide, caller: GrpcCaller, name: str
) -> None:
    """In the order that is asked for; reserved parameters are taken."""
    every = [one.name for one in caller("ModelInfer", raw_request(guide, name)).outputs]
    request = raw_request(guide, name, model_version=guide.version)
    for one in reversed(every):
        request.outputs.add(name=one)
    request.parameters["sequence_id"].int64_param = 3
    request.parameters["priority"].uint64_param = 1
    answer = caller("ModelInfer", request)
    assert [one.name for one in answer.outputs] == every[::-1]
    assert np.array_equal(numbers(answer), guide.expected(ROWS)[:, ::-1])
    request.outputs.add(name="nothing")
    code, sentence = caller.refused("ModelInfer", request)
    assert (code, sentence[:16]) == ("INVALID_ARGUMENT", "outputs.nothing:")


def test_what_is_wrong_is_told_by_field_and_row(
    guide: Guide, caller: GrpcCaller, name: str
) -> None:
    """INVALID_ARGUMENT, NOT_FOUND: never an error of ours, and never a traceback."""
    first, (datatype, values) = next(iter(columns(guide).items()))
    lacking = raw_request(guide, name)
    del lacking.inputs[0], lacking.raw_input_contents[0]
    wrong = typed_request(guide, name)
    whole = next(one for one in wrong.inputs if one.datatype.startswith("INT"))
    whole.CopyFrom(typed(whole.name, "FP64", [ROWS], [1.0, 2.0, 1.5, 4.0, 5.0]))
    short = raw_request(guide, name)
    short.raw_input_contents[0] = packed(datatype, values[1:])
    fewer = raw_request(guide, name)
    del fewer.raw_input_contents[0]
    both = typed_request(guide, name)
    both.raw_input_contents.extend([b""] * len(both.inputs))
    for request, sentence in (
        (lacking, f"inputs.{first}: expected a tensor of this name, got none"),
        (wrong, f"inputs.{whole.name}[2]: expected an integer, got the number 1.5"),
        (short, f"inputs.{first}"),
        (fewer, "raw_input_contents: expected one for each of"),
        (both, f"inputs.{first}: expected raw_input_contents or contents, got both"),
        (ModelInferRequest(model_name=name), f"inputs.{first}: expected a tensor"),
        (b"\x0a\x05ab", "the message ends, or a part of it does, in the midst of a field"),
        (b"\x0a\x02\xff\xfe", "model_name is not UTF-8"),
    ):
        code, told = caller.refused("ModelInfer", request)
        assert code == "INVALID_ARGUMENT"
        assert told.startswith(sentence), told
    for request, sentence in (
        (raw_request(guide, "nobody"), f"no model is served as 'nobody'; there are: {name}"),
        (raw_request(guide, name, model_version="99"), f"version '99' of {name} is not loaded"),
    ):
        code, told = caller.refused("ModelInfer", request)
        assert code == "NOT_FOUND"
        assert told.startswith(sentence), told


def test_the_server_and_its_models_say_what_they_are(
    guide: Guide, caller: GrpcCaller, name: str
) -> None:
    """As REST says it, and Triton's calls beside the protocol's."""
    assert caller("ServerLive").live
    assert caller("ServerReady").ready
    assert caller("ServerMetadata").name == "mlflow-hotswap"
    assert caller("ModelReady", ModelReadyRequest(name=name, version=guide.version)).ready
    code, _ = caller.refused("ModelReady", ModelReadyRequest(name=name, version="99"))
    assert code == "NOT_FOUND"
    rest = guide.service.get(f"/v2/models/{name}").json()
    told = caller("ModelMetadata", ModelMetadataRequest(name=name))
    assert (told.name, list(told.versions), told.platform) == (name, [guide.version], "mlflow")
    for kind in ("inputs", "outputs"):
        assert rest[kind] == [
            {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
            for one in getattr(told, kind)
        ]
    config = caller("ModelConfig", ModelConfigRequest(name=name)).config
    assert (config.name, config.max_batch_size) == (name, 0)
    assert [one.name for one in config.input] == [one["name"] for one in rest["inputs"]]
    assert list(config.version_policy.specific.versions) == [int(guide.version)]
    for request in (ModelStatisticsRequest(name=name), ModelStatisticsRequest()):
        (counted,) = caller("ModelStatistics", request).model_stats
        assert (counted.name, counted.version) == (name, guide.version)
        assert counted.inference_stats.success.count > 0
    (listed,) = caller("RepositoryIndex", RepositoryIndexRequest(ready=True)).models
    assert (listed.name, listed.version, listed.state) == (name, guide.version, "READY")


def test_what_is_not_spoken_is_refused(guide: Guide, caller: GrpcCaller, name: str) -> None:
    """Loading by a call with a sentence; Triton's other calls are UNIMPLEMENTED."""
    for method, request in (
        ("RepositoryModelLoad", RepositoryModelLoadRequest(model_name=name)),
        ("RepositoryModelUnload", RepositoryModelUnloadRequest(model_name=name)),
    ):
        code, sentence = caller.refused(method, request)
        assert code == "INVALID_ARGUMENT"
        assert "promote a version in the registry" in sentence
    for method in ("ModelStreamInfer", "TraceSetting", "LogSettings", "SystemSharedMemoryStatus"):
        with pytest.raises(grpc.RpcError) as raised:
            caller.channel.unary_unary(f"/{SERVICE}/{method}")(b"", timeout=60)
        error: Any = raised.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    code, sentence = caller.refused("ModelMetadata", b"\xff")
    assert (code, sentence) == (
        "INVALID_ARGUMENT",
        "the message is no inference.ModelMetadataRequest",
    )
    assert guide.service.get("/health").status_code == 200


def test_health_is_checked_for_the_service_and_for_each_model(
    caller: GrpcCaller, name: str
) -> None:
    """`grpc.health.v1`; a name that there is not is NOT_FOUND."""
    check = caller.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for service in ("", SERVICE, name):
        answer = check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as raised:
        check(health_pb2.HealthCheckRequest(service="nobody"), timeout=60)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_shows_the_services(caller: GrpcCaller) -> None:
    """So that `grpcurl` and the like need no file of ours."""
    shown = ProtoReflectionDescriptorDatabase(caller.channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(shown.get_services())
    assert shown.FindFileContainingSymbol(SERVICE).package == "inference"
