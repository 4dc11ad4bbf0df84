"""The demo's rows by each protocol of the overload benchmarks."""

from dataclasses import dataclass
from typing import Any

import httpx

from bench import dialects
from bench.dialects import Dialect
from bench.rows import frame_of
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest
from tools.overload.protocols import ARROW, GRPC, INVOCATIONS, JSON, REST, CallProtocol

_FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}


@dataclass(frozen=True)
class Way:
    """A protocol, and the dialect in which the demo's rows are written for it."""

    protocol: CallProtocol
    dialect: Dialect


WAYS = (
    Way(JSON, dialects.INSTANCES),
    Way(ARROW, dialects.ARROW_STREAM),
    Way(INVOCATIONS, dialects.DATAFRAME_SPLIT),
    Way(REST, dialects.OPEN_INFERENCE),
    Way(GRPC, dialects.OPEN_INFERENCE),
)


def message(url: str, model: str) -> bytes:
    """Return one row as a message, with the tensors that the service describes."""
    row: Any = frame_of(1)
    sent = ModelInferRequest(model_name=model)
    described = httpx.get(f"{url}/v2/models/{model}", trust_env=False).raise_for_status().json()
    for spec in described["inputs"]:
        kind = spec["datatype"]
        tensor = sent.inputs.add(name=spec["name"], datatype=kind, shape=[1])
        value = row[spec["name"]].tolist()[0]
        getattr(tensor.contents, _FIELDS[kind]).append(
            str(value).encode() if kind == "BYTES" else value
        )
    return sent.SerializeToString()  # type: ignore[no-any-return]
