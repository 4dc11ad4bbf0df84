"""Bodies of the Open Inference Protocol, written and read by hand, as its text has them."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.codecs.inference.frame import ANSWER_BYTES, before_request, json_bytes_of

NUMPY = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


def tensor(
    name: str, datatype: str, shape: Sequence[int], data: Any, **more: Any
) -> dict[str, Any]:
    """Return an input with its data in JSON."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data, **more}


def framed(document: Any, binary: bytes = b"", model: str = "m") -> bytes:
    """Return a request as its handler gives it to the codec."""
    written = document if isinstance(document, bytes) else json.dumps(document).encode()
    return before_request(len(written), model) + written + binary


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    """Return elements as bytes."""
    if datatype == "BYTES":
        texts = [value.encode() if isinstance(value, str) else value for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BF16":
        return (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.array(values, NUMPY[datatype]).tobytes()


def unpacked(datatype: str, data: bytes) -> list[Any]:
    """Return elements out of bytes."""
    if datatype != "BYTES":
        values: list[Any] = np.frombuffer(data, NUMPY[datatype]).tolist()
        return values
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def datatype_of(values: Sequence[Any]) -> str:
    """Return the datatype of plain values."""
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(values[0])]


def json_body(columns: Mapping[str, Sequence[Any]], **more: Any) -> bytes:
    """Return a request with a column a tensor, all in JSON."""
    inputs = [
        tensor(name, datatype_of(values), [len(values)], values) for name, values in columns.items()
    ]
    return framed({"inputs": inputs, **more})


def binary_body(columns: Mapping[str, Sequence[Any]], **more: Any) -> bytes:
    """Return a request with a column a tensor, all in binary, that wants the same."""
    inputs, binary = [], b""
    for name, values in columns.items():
        datatype = datatype_of(values)
        try:
            data = packed(datatype, values)
        except ValueError:  # the suite's wrong value
            data = packed("BYTES", [str(value) for value in values])
            datatype = "BYTES"
        inputs.append(
            {
                "name": name,
                "datatype": datatype,
                "shape": [len(values)],
                "parameters": {"binary_data_size": len(data)},
            }
        )
        binary += data
    document = {"inputs": inputs, "parameters": {"binary_data_output": True}, **more}
    return framed(document, binary)


def answered(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a codec's answer, and what follows it."""
    length = json_bytes_of(body)
    rest = body[ANSWER_BYTES:]
    return json.loads(rest[:length] if length else rest), rest[length:] if length else b""


def values_in(told: dict[str, Any], binary: bytes = b"") -> dict[str, list[Any]]:
    """Return each output's rows by name."""
    found = {}
    for output in told["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            flat = output["data"]
            while flat and isinstance(flat[0], list):
                flat = [value for values in flat for value in values]
        else:
            flat, binary = unpacked(output["datatype"], binary[:size]), binary[size:]
        for width in reversed(output["shape"][1:]):
            flat = [flat[at : at + width] for at in range(0, len(flat), width)]
        assert len(flat) == output["shape"][0]
        found[output["name"]] = flat
    assert not binary
    return found
