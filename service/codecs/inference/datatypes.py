"""The protocol's datatypes, the numpy dtypes they are, and those that a contract's types become."""

from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta

from service.contracts.contract import Contract, Layout
from service.contracts.mlflow_types import FLOAT32_MAX, SCALARS

BYTES = "BYTES"
BF16 = "BF16"
"""Binary alone: numpy has no such type, and a number of it is the upper half of an FP32."""
UNNAMED_INPUT = "input-0"
"""What an input without a name is called."""

DTYPES = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""The datatypes that are numbers for numpy, little-endian as all that is sent."""
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}
KNOWN = (*DTYPES, BF16, BYTES)
_FP16_MAX = 65504.0


def _integers(bits: int, *, signed: bool) -> Any:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    # msgspec takes no bound beyond 64 bits with a sign: numpy says what is over that.
    return Annotated[int, Meta(ge=low, le=high)] if high < 2**63 else Annotated[int, Meta(ge=low)]


IN_JSON: dict[str, Any] = {
    "BOOL": bool,
    **{f"INT{bits}": _integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": _integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "FP16": Annotated[float, Meta(ge=-_FP16_MAX, le=_FP16_MAX)],
    "FP32": Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)],
    "FP64": float,
    BYTES: str,
}
"""What JSON has for an element of each datatype, as msgspec reads it."""

ANY_SIZE = -1


class TensorSpec(NamedTuple):
    """A tensor as a model's description has it; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: list[int]


def input_tensors(contract: Contract) -> list[TensorSpec]:
    """Return what a model takes, in the words of the protocol."""
    if contract.layout is Layout.POSITIONAL:
        kinds = {datatype_of(spec.type) for spec in contract.inputs}
        return [TensorSpec(UNNAMED_INPUT, _common(kinds), [ANY_SIZE, len(contract.inputs)])]
    if contract.layout is Layout.COLUMNS:
        return [
            TensorSpec(spec.name, datatype_of(spec.type), [ANY_SIZE]) for spec in contract.inputs
        ]
    return [
        TensorSpec(
            UNNAMED_INPUT if contract.layout is Layout.TENSOR else spec.name,
            _of_element(described["tensor-spec"]["dtype"]),
            [ANY_SIZE, *spec.shape],
        )
        for spec, described in zip(contract.inputs, contract.signature["inputs"], strict=True)
    ]


def output_tensors(contract: Contract) -> list[TensorSpec]:
    """Return what a model answers, as far as its signature says that."""
    raw = contract.signature["outputs"] or []
    found = []
    for index, spec in enumerate(contract.outputs):
        described = raw[index] if len(raw) == len(contract.outputs) else {}
        tensor = described.get("tensor-spec") if spec.type == "tensor" else None
        if tensor is not None:
            shape = [ANY_SIZE, *tensor["shape"][1:]]
            found.append(TensorSpec(spec.name, _of_element(tensor["dtype"]), shape))
        elif len(raw) > 1 and len(contract.outputs) == 1:
            # Several outputs without names are one tensor, with a column for each.
            kinds = {datatype_of(str(one.get("type", ""))) for one in raw}
            found.append(TensorSpec(spec.name, _common(kinds), [ANY_SIZE, len(raw)]))
        else:
            found.append(TensorSpec(spec.name, datatype_of(spec.type), [ANY_SIZE]))
    return found


def datatype_of(kind: str) -> str:
    """Return the datatype of a column of one of MLflow's types; nested ones are JSON in BYTES."""
    dtype = SCALARS[kind][1] if kind in SCALARS else ""
    return DATATYPES.get(dtype, BYTES)


def _of_element(dtype: str) -> str:
    return DATATYPES.get(dtype, BYTES)


def _common(kinds: set[str]) -> str:
    """Return the datatype that has room for all of these."""
    if len(kinds) == 1:
        return next(iter(kinds))
    if BYTES in kinds or "BOOL" in kinds:
        return BYTES
    return DATATYPES[np.result_type(*(DTYPES[kind] for kind in kinds)).name]
