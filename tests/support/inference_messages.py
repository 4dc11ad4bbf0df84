"""Messages of the Open Inference Protocol, written and read by protobuf's own library."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.handlers.grpc.open_inference_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from tests.support.inference_bodies import datatype_of, packed, unpacked

Input = ModelInferRequest.InferInputTensor
FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def typed(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Any:
    """Return an input with its elements in the field of their type."""
    if datatype == "BYTES":
        values = [value.encode() if isinstance(value, str) else value for value in values]
    contents = InferTensorContents(**{FIELDS[datatype]: values})
    return Input(name=name, datatype=datatype, shape=shape, contents=contents)


def raw(inputs: Mapping[str, tuple[str, Sequence[int], bytes]], **more: Any) -> Any:
    """Return a request with its inputs' bytes: by name the datatype, the shape and the bytes."""
    return ModelInferRequest(
        inputs=[
            Input(name=name, datatype=datatype, shape=shape)
            for name, (datatype, shape, _) in inputs.items()
        ],
        raw_input_contents=[data for _, _, data in inputs.values()],
        **more,
    )


def request(columns: Mapping[str, Sequence[Any]], *, raw: bool, **more: Any) -> bytes:
    """Return the bytes of a request with a column a tensor."""
    sent = ModelInferRequest(**more)
    for name, values in columns.items():
        some, datatype = values, datatype_of(values)
        try:
            data = packed(datatype, some)
        except ValueError:  # the suite's wrong value
            some, datatype = [str(value) for value in values], "BYTES"
            data = packed(datatype, some)
        if raw:
            sent.inputs.append(Input(name=name, datatype=datatype, shape=[len(some)]))
            sent.raw_input_contents.append(data)
        else:
            sent.inputs.append(typed(name, datatype, [len(some)], some))
    written: bytes = sent.SerializeToString()
    return written


def answered(body: bytes) -> tuple[dict[str, list[Any]], str]:
    """Return an answer's rows by output, and the version that it names."""
    told = ModelInferResponse.FromString(body)
    assert len(told.outputs) == len(told.raw_output_contents)
    found = {}
    for output, data in zip(told.outputs, told.raw_output_contents, strict=True):
        flat = unpacked(output.datatype, data)
        for width in reversed(output.shape[1:]):
            flat = [flat[at : at + width] for at in range(0, len(flat), width)]
        assert len(flat) == output.shape[0]
        found[output.name] = flat
    return found, told.model_version
