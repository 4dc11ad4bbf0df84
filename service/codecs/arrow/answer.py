"""Write a model's answers as an Arrow IPC stream."""

import math
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


def _array(name: str, column: Column, dtype: str, shape: list[int], declared: str) -> pa.Array:
    if isinstance(column, list):
        return _of_list(name, [_finite(value) for value in column], declared)
    values = np.frombuffer(column, dtype)
    kind = values.dtype
    unit = pa.timestamp(np.datetime_data(kind)[0], "UTC") if kind.kind == "M" else None
    # What is no number is a null here as it is in JSON; where that is an error it was one before.
    holes = ~np.isfinite(values) if kind.kind == "f" else None
    array = pa.array(values, unit, mask=holes if holes is not None and holes.any() else None)
    for size in reversed(shape):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _finite(value: Any) -> Any:
    """Return a value with None for what is no finite number."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_finite(item) for item in value]
        case dict():
            return {key: _finite(item) for key, item in value.items()}
    return value


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
