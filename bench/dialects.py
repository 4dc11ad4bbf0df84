"""How each server wants to be asked, and how it answers."""

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from bench.rows import Table, records, table
from service.commands.demo.model import OUTPUTS

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
_V2_JSON_BYTES = 4_096
"""Of a body with binary tensors so many bytes are JSON."""
_V2_TYPES = {"int64": "INT64", "float64": "FP64"}


@dataclass(frozen=True)
class Dialect:
    """One form of question and answer."""

    content_type: str
    encode: Callable[[pd.DataFrame], bytes]
    decode: Callable[[bytes], Table]
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones that a question has."""


def _instances(frame: pd.DataFrame) -> bytes:
    return msgspec.json.encode({"instances": records(frame)})


def _rows(frame: pd.DataFrame) -> bytes:
    return msgspec.json.encode({"rows": records(frame)})


def _dataframe_split(frame: pd.DataFrame) -> bytes:
    rows = [list(row.values()) for row in records(frame)]
    return msgspec.json.encode({"dataframe_split": {"columns": list(frame), "data": rows}})


def _dataframe_records(frame: pd.DataFrame) -> bytes:
    return msgspec.json.encode({"dataframe_records": records(frame)})


def _v2(frame: pd.DataFrame) -> bytes:
    inputs = [_v2_input(name, frame[name]) for name in frame]
    return msgspec.json.encode({"parameters": {"content_type": "pd"}, "inputs": inputs})


def _v2_input(name: Any, column: "pd.Series[Any]") -> dict[str, Any]:
    kind = _V2_TYPES.get(str(column.dtype), "BYTES")
    tensor = {"name": name, "shape": [len(column), 1], "datatype": kind, "data": column.tolist()}
    if kind == "BYTES":
        tensor["parameters"] = {"content_type": "str"}
    return tensor


def _v2_binary(frame: pd.DataFrame) -> bytes:
    binary = {name: _v2_bytes(frame[name]) for name in frame}
    inputs = [
        {
            "name": name,
            "shape": [len(frame)],
            "datatype": _V2_TYPES.get(str(frame[name].dtype), "BYTES"),
            "parameters": {"binary_data_size": len(data)},
        }
        for name, data in binary.items()
    ]
    asked = {"parameters": {"binary_data_output": True}, "inputs": inputs}
    # Spaces, so that each body has the same header.
    return msgspec.json.encode(asked).ljust(_V2_JSON_BYTES) + b"".join(binary.values())


def _v2_bytes(column: "pd.Series[Any]") -> bytes:
    if str(column.dtype) in _V2_TYPES:
        return column.to_numpy().tobytes()
    texts = [str(text).encode() for text in column]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _predictions(body: bytes) -> Table:
    answer = msgspec.json.decode(body)
    return table(answer["predictions"] if isinstance(answer, dict) else answer)


def _v2_outputs(body: bytes) -> Table:
    outputs = msgspec.json.decode(body)["outputs"]
    if len(outputs) > 1:
        by_name = {output["name"]: output["data"] for output in outputs}
        return table(list(zip(*(by_name[name] for name in OUTPUTS), strict=True)))
    (output,) = outputs
    found = table([output["data"]])
    return found.reshape(-1, len(OUTPUTS))


def _v2_binary_outputs(body: bytes) -> Table:
    # A character a byte, so that an index is one of the bytes too.
    told, at = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    by_name = {}
    for output in told["outputs"]:
        size = output["parameters"]["binary_data_size"]
        by_name[output["name"]] = np.frombuffer(body[at : at + size], np.float64)
        at += size
    return np.stack([by_name[name] for name in OUTPUTS], axis=1)


def _arrow(frame: pd.DataFrame) -> bytes:
    content = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content)
    return sink.getvalue()


def _arrow_answer(body: bytes) -> Table:
    content = pa.ipc.open_stream(body).read_all()
    return table(list(zip(*(content.column(name).to_pylist() for name in OUTPUTS), strict=True)))


INSTANCES = Dialect(JSON, _instances, _predictions)
"""`{"instances": [{...}]}`: this service's, and the guides'."""

ROWS = Dialect(JSON, _rows, _predictions)
"""`{"rows": [{...}]}`: an argument of that name, as BentoML takes it."""

DATAFRAME_SPLIT = Dialect(JSON, _dataframe_split, _predictions)
"""MLflow's, the one of its forms that names each column once."""

DATAFRAME_RECORDS = Dialect(JSON, _dataframe_records, _predictions)
"""MLflow's, a row an object."""

OPEN_INFERENCE = Dialect(JSON, _v2, _v2_outputs)
"""The Open Inference Protocol's columns, with MLServer's pandas codec."""

BINARY_TENSORS = Dialect(
    "application/octet-stream",
    _v2_binary,
    _v2_binary_outputs,
    (("inference-header-content-length", str(_V2_JSON_BYTES)),),
)
"""The Open Inference Protocol's binary tensors, both ways, as Triton's client sends them."""

ARROW_STREAM = Dialect(ARROW, _arrow, _arrow_answer)
