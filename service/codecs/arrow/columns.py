"""Turn a column of an Arrow table into what a contract takes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from service.codecs.arrow.nested import nested_reader
from service.codecs.arrow.numbers import casts, check_finite, first_null, numbers, wrong_type
from service.codecs.arrow.strings import binary_values, is_binary, is_string, string_values
from service.codecs.arrow.tensors import Tensor
from service.codecs.places import place_in_columns
from service.contracts.contract import InputSpec, Values
from service.contracts.faults import violation_at
from service.contracts.filling import missing
from service.contracts.mlflow_types import EPOCH, FIRST_MOMENT, LAST_MOMENT, SCALARS
from service.core.errors import ContractViolationError

ToTyped = Callable[[pa.ChunkedArray, int], Values]
"""Takes a valid column of at least one row, and how many bytes it may have once decoded."""

_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_A_DAY_S = 86_400
_FIRST_S, _LAST_S = (
    int((moment - EPOCH).total_seconds()) for moment in (FIRST_MOMENT, LAST_MOMENT)
)
_WORDS = {
    "boolean": "a boolean",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "string": "a string",
    "binary": "bytes",
    "datetime": "a datetime",
}


def to_reader(spec: InputSpec, described: dict[str, Any]) -> ToTyped:
    """Return what reads this input; `described` is the input as the signature writes it.

    What it returns raises ContractViolationError, and BodyTooLargeError.
    """
    if spec.type == "tensor":
        return Tensor(spec, described["tensor-spec"]["dtype"]).read
    if spec.type not in SCALARS:
        return nested_reader(spec, described)
    dtype = np.dtype(SCALARS[spec.type][1] or object)
    match spec.type:
        case "string":
            return _Scalar(spec, "strings", is_string, string_values).read
        case "binary":
            return _Scalar(spec, "binary", is_binary, binary_values).read
        case "datetime":
            return _Scalar(spec, "timestamps or dates", _is_moment, partial(_moments, spec)).read
    wanted = f"{dtype}, or of a type that widens to it"
    return _Scalar(spec, wanted, partial(casts, wanted=dtype), partial(_values, spec, dtype)).read


class _Scalar(NamedTuple):
    """Reads an input that is one value a row."""

    spec: InputSpec
    wanted: str
    takes: Callable[[pa.DataType], bool]
    values: ToTyped

    def read(self, column: pa.ChunkedArray, max_decoded_bytes: int) -> Values:
        """Return the column, once its type and its nulls are what the input may have."""
        if pa.types.is_null(column.type) and not self.spec.required:
            return _nulls(self.spec, len(column))
        if not self.takes(column.type):
            raise wrong_type(self.spec.name, self.wanted, column)
        if self.spec.required and (row := first_null(column)) is not None:
            raise violation_at(place_in_columns(self.spec.name), row, _WORDS[self.spec.type], None)
        return self.values(column, max_decoded_bytes)


def _nulls(spec: InputSpec, rows: int) -> Values:
    column = missing(spec, rows)
    return column if isinstance(column, list) else np.frombuffer(column, spec.dtype)


def _values(
    spec: InputSpec, dtype: "np.dtype[Any]", column: pa.ChunkedArray, _limit: int
) -> Values:
    """Return numbers or booleans, NaN for a null where the dtype has it, else a list."""
    if not spec.dtype:
        values: list[Any] = column.to_pylist()
        return values
    values_at, holes = numbers(column)
    check_finite(spec.name, values_at, 1)
    typed = values_at.astype(dtype, copy=False)
    return typed if holes is None else np.where(holes, np.array(np.nan, dtype), typed)


def _moments(spec: InputSpec, column: pa.ChunkedArray, _limit: int) -> Values:
    """Return nanoseconds in UTC: Arrow's timestamps with a zone are UTC as they are."""
    counts, holes = numbers(column.cast(pa.int32() if _is_days(column.type) else pa.int64()))
    a_second = 1
    if _is_days(column.type):
        counts = counts.astype(np.int64) * _A_DAY_S
    else:
        a_second = _A_SECOND[getattr(column.type, "unit", "ms")]
    beyond = (counts < _FIRST_S * a_second) | (counts >= _LAST_S * a_second)
    if beyond.any():
        row = int(beyond.argmax())
        wanted = f"a datetime between {FIRST_MOMENT:%Y-%m-%d} and {LAST_MOMENT:%Y-%m-%d}"
        place = place_in_columns(spec.name)
        got = f"{counts[row]} units since 1970 ({column.type})"
        raise ContractViolationError(place(row), row, wanted, got)
    moments = (counts * (_A_SECOND["ns"] // a_second)).view("datetime64[ns]")
    return moments if holes is None else np.where(holes, np.datetime64("NaT", "ns"), moments)


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_days(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date32(kind))
