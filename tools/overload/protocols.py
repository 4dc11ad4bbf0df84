"""The protocols by which a model is asked for predictions, and a request's bytes in each."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from service.handlers.grpc.open_inference_pb2 import InferTensorContents, ModelInferRequest
from tools.arrow_bodies import ARROW as ARROW_STREAM
from tools.arrow_bodies import JSON as JSON_BODY
from tools.arrow_bodies import stream


@dataclass(frozen=True)
class CallProtocol:
    """One protocol, and its requests to a model with one column `a` of numbers."""

    key: str
    title: str
    path: str
    """`{}` stands for the model's name; '' is a call over gRPC."""
    content_type: str
    encode: Callable[[str, list[float]], bytes]
    """Writes a request to a model of this name, with a row for each number."""
    is_merged: bool = True
    """Whether its requests share batches. A body that a worker decodes has a run of its own."""

    @property
    def is_grpc(self) -> bool:
        """Whether its requests are calls over gRPC."""
        return not self.path


def _instances(_: str, values: list[float]) -> bytes:
    return msgspec.json.encode({"instances": [{"a": value} for value in values]})


def _arrow(_: str, values: list[float]) -> bytes:
    return stream({"a": values})


def _dataframe_split(_: str, values: list[float]) -> bytes:
    split = {"columns": ["a"], "data": [[value] for value in values]}
    return msgspec.json.encode({"dataframe_split": split})


def _tensors(_: str, values: list[float]) -> bytes:
    tensor = {"name": "a", "datatype": "FP64", "shape": [len(values)], "data": values}
    return msgspec.json.encode({"inputs": [tensor]})


def _message(model: str, values: list[float]) -> bytes:
    tensor = ModelInferRequest.InferInputTensor(
        name="a",
        datatype="FP64",
        shape=[len(values)],
        contents=InferTensorContents(fp64_contents=values),
    )
    message: bytes = ModelInferRequest(model_name=model, inputs=[tensor]).SerializeToString()
    return message


JSON = CallProtocol("json", "`/predict`, JSON", "/models/{}/predict", JSON_BODY, _instances)
ARROW = CallProtocol(
    *("arrow", "`/predict`, Arrow", "/models/{}/predict", ARROW_STREAM, _arrow), is_merged=False
)
# Of a version without an input example, whose bodies MLflow's own code answers.
INVOCATIONS = CallProtocol(
    *("invocations", "`/invocations`", "/models/{}/invocations", JSON_BODY, _dataframe_split),
    is_merged=False,
)
REST = CallProtocol("oip", "OIP over REST", "/v2/models/{}/infer", JSON_BODY, _tensors)
GRPC = CallProtocol("grpc", "gRPC", "", "", _message)

PROTOCOLS = (JSON, ARROW, INVOCATIONS, REST, GRPC)
