"""Read a call's columns as arrays, without a frame."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from service.contracts.contract import Call, Contract, InputSpec, Layout
from service.predictors.engines.engine import Array, BeyondError, SkippedError

_NUMBERS = frozenset({"boolean", "integer", "long", "float", "double"})
_INTEGERS = {"integer": "int32", "long": "int64"}


def is_number(spec: InputSpec) -> bool:
    """Tell whether a column holds one number a row."""
    return spec.type in _NUMBERS


def tabular(contract: Contract) -> bool:
    """Tell whether the model takes a frame."""
    return contract.layout in {Layout.COLUMNS, Layout.POSITIONAL}


def block_of(contract: Contract, indices: Sequence[int]) -> Callable[[Call], Array]:
    """Return what makes a matrix of these columns, in the type that a frame of them would have.

    The matrix is new at each call: its receiver may write into it. Raise SkippedError for columns
    that are no numbers.
    """
    if contract.layout is Layout.TENSOR:
        return _tensor(contract.inputs[0])
    if not tabular(contract):
        raise SkippedError("several tensors make no matrix")
    specs = [contract.inputs[index] for index in indices]
    if other := next((spec for spec in specs if not is_number(spec)), None):
        raise SkippedError(f"the column {other.name} is no number")
    if all(spec.dtype for spec in specs):
        return _buffers(list(indices), [np.dtype(spec.dtype) for spec in specs])

    def block(call: Call) -> Array:
        arrays = [_array(spec, call.columns[at]) for spec, at in zip(specs, indices, strict=True)]
        return np.stack(arrays, axis=1)

    return block


def _buffers(indices: list[int], dtypes: "list[np.dtype[Any]]") -> Callable[[Call], Array]:
    common = np.result_type(*dtypes)
    places = list(zip(indices, dtypes, strict=True))
    width = len(places)

    def block(call: Call) -> Array:
        matrix = np.empty((call.rows, width), common)
        columns, row = call.columns, matrix.T
        for place, (index, dtype) in enumerate(places):
            row[place] = np.frombuffer(columns[index], dtype)  # type: ignore[arg-type]
        return matrix

    return block


def _array(spec: InputSpec, column: Any) -> Array:
    if spec.dtype:
        return np.frombuffer(column, spec.dtype)
    missing = any(value is None for value in column)
    if spec.type == "boolean":
        if missing:
            raise BeyondError(f"{spec.name} is missing")
        return np.array(column, "bool")
    return np.array(column, "float64" if missing else _INTEGERS[spec.type])


def _tensor(spec: InputSpec) -> Callable[[Call], Array]:
    dtype = np.dtype(spec.dtype or "object")
    if dtype.kind not in "biuf" or len(spec.shape) != 1:
        raise SkippedError("the tensor is no matrix of numbers")

    def block(call: Call) -> Array:
        flat = np.frombuffer(bytearray(call.columns[0]), dtype)
        return flat.reshape(call.rows, -1)

    return block
