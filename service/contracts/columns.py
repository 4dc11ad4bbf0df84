"""Turn the rows of a request into columns, one buffer or list each."""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from service.contracts.contract import Column, InputSpec
from service.contracts.faults import violation_at
from service.contracts.mlflow_types import NULLABLE_DTYPES, SCALARS, is_open, plain
from service.contracts.places import Place
from service.core.errors import ContractViolationError

ToColumn = Callable[[Sequence[Any], Place], Column]
"""Takes a column's values and, for errors, where a row's value stands in the body."""

_PACKED = {"float64": "d", "int64": "q", "int32": "i"}
"""Of `struct`, which takes a quarter of numpy's time, for one row and for thousands."""
_REMEMBERED_SIZES = 256
_NAT = np.iinfo(np.int64).min


def column_dtype(kind: str, *, required: bool) -> str:
    """Return the dtype of the buffer in which a column of this type travels, '' for a list."""
    if kind not in SCALARS:
        return ""
    dtype = SCALARS[kind][1]
    return dtype if required or dtype in NULLABLE_DTYPES else ""


def to_column(spec: InputSpec, raw: dict[str, Any]) -> ToColumn:
    """Return what builds this input's column; `raw` is the input as the signature writes it."""
    if spec.type == "tensor":
        return _tensor(spec, open_=raw["tensor-spec"]["dtype"].startswith(("object", "datetime64")))
    match spec.dtype:
        case "":
            open_ = is_open(raw) and spec.type != "datetime"
            return _plain_list if open_ else _list
        case "bool":
            return _booleans
        case "datetime64[ns]":
            return _moments
        case dtype:
            return _numbers(dtype, required=spec.required)


def to_buffer(dtype: str) -> Callable[[Sequence[Any], Place], bytes]:
    """Return what makes of numbers, none of them None, a buffer of this dtype."""
    code = _PACKED.get(dtype)
    if code is None:
        return lambda values, _place: np.array(values, dtype).tobytes()
    pack_one = struct.Struct(code).pack

    def buffer(values: Sequence[Any], _place: Place) -> bytes:
        # As a rule a request has one row: to look its packer up would take as long as to use it.
        return pack_one(values[0]) if len(values) == 1 else _packer(code, len(values))(*values)

    return buffer


@lru_cache(_REMEMBERED_SIZES)
def _packer(code: str, count: int) -> Callable[..., bytes]:
    return struct.Struct(f"{count}{code}").pack


def _numbers(dtype: str, *, required: bool) -> ToColumn:
    buffer = to_buffer(dtype)
    if required:
        return buffer

    def build(values: Sequence[Any], place: Place) -> Column:
        # None becomes NaN.
        return np.array(values, dtype).tobytes() if values else buffer(values, place)

    return build


def _booleans(values: Sequence[Any], _place: Place) -> Column:
    return bytes(values)


def _moments(values: Sequence[Any], _place: Place) -> Column:
    return np.array([_NAT if v is None else v.ns for v in values], np.int64).tobytes()


def _list(values: Sequence[Any], _place: Place) -> Column:
    return list(values)


def _plain_list(values: Sequence[Any], place: Place) -> Column:
    return [plain(value, _failing(row, place)) for row, value in enumerate(values)]


def _failing(row: int, place: Place) -> Callable[[str, Any], ContractViolationError]:
    return lambda expected, value: violation_at(place, row, expected, value)


def _tensor(spec: InputSpec, *, open_: bool) -> ToColumn:
    if not spec.dtype:
        return _plain_list if open_ else _list
    dtype = np.dtype(spec.dtype)

    def build(values: Sequence[Any], place: Place) -> Column:
        try:
            return np.array(values, dtype).tobytes()
        except OverflowError:  # uint64 alone: its bound is beyond msgspec's
            for row, value in enumerate(values):
                if _largest(value) >= 2**64:
                    raise _failing(row, place)("integers that fit 64 bits", value) from None
            raise

    return build


def _largest(value: Any) -> int:
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return int(value)
