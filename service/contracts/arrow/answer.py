"""Write a model's answers as an Arrow IPC stream."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from service.contracts.contract import Column, Contract, Predictions
from service.core.errors import NotAcceptableError

_OF_LIST = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
}


def encode_stream(contract: Contract, predictions: Predictions, metadata: dict[str, str]) -> bytes:
    """Return a stream of one batch with a column an output, `metadata` in its schema.

    Numbers keep their dtype, several a row are a fixed-size list; datetimes are in UTC. Raise
    NotAcceptableError for an output whose values have no one type in Arrow.
    """
    kinds = {spec.name: spec.type for spec in contract.outputs}
    columns = [
        _array(name, column, dtype, shape, kinds.get(name, ""))
        for name, column, dtype, shape in zip(
            predictions.names,
            predictions.columns,
            predictions.dtypes,
            predictions.shapes,
            strict=True,
        )
    ]
    batch = pa.RecordBatch.from_arrays(columns, names=predictions.names)
    batch = batch.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _array(name: str, column: Column, dtype: str, shape: list[int], kind: str) -> pa.Array:
    if isinstance(column, list):
        return _of_list(name, column, kind)
    values = np.frombuffer(column, dtype)
    array = pa.array(values, pa.timestamp("us", "UTC") if values.dtype.kind == "M" else None)
    for size in reversed(shape):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _of_list(name: str, values: list[Any], kind: str) -> pa.Array:
    try:
        try:
            return pa.array(values, _OF_LIST.get(kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.array(values)  # the answer is what the model gave, not what it said it would
    except (pa.ArrowException, OverflowError) as error:
        raise NotAcceptableError(
            f"the values of {name!r} have no one type in Arrow ({error}); accept application/json"
        ) from error
