"""Read tensors out of Arrow columns: lists in lists, each of the shape's length."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from service.codecs.arrow.numbers import casts, check_finite, first_null, numbers, wrong_type
from service.codecs.places import place_in_columns
from service.contracts.contract import InputSpec, Values
from service.contracts.faults import violation_at
from service.core.errors import ContractViolationError


class Tensor(NamedTuple):
    """Reads an input that is a tensor of this dtype."""

    spec: InputSpec
    dtype: str

    def read(self, column: pa.ChunkedArray, _max_decoded_bytes: int) -> Values:
        """Return the rows as one array.

        Raise ContractViolationError, also for a tensor that has no such form: one of strings, or
        with a dimension that varies from row to row.
        """
        name, shape = self.spec.name, self.spec.shape
        if not self.spec.dtype:
            wanted = f"JSON, since lists of one size hold no {self.dtype} of shape {list(shape)}"
            raise ContractViolationError(f"columns.{name}", None, wanted, "an Arrow stream")
        wanted = f"{self.dtype}" + (f" in fixed-size lists, {list(shape)} a row" if shape else "")
        values, rows = column, len(column)
        if isinstance(column.type, pa.FixedShapeTensorType):
            order = list(column.type.permutation or ())
            if tuple(column.type.shape) != shape or order != sorted(order):
                raise wrong_type(name, wanted, column)
            values, shape = _storage(column), (int(np.prod(shape)),)
        for size in shape:
            if not _is_list(values.type):
                raise wrong_type(name, wanted, column)
            if pa.types.is_fixed_size_list(values.type) and values.type.list_size != size:
                raise wrong_type(name, wanted, column)
            self._check_nulls(values, rows)
            self._check_lengths(values, size, rows)
            flat = [chunk.flatten() for chunk in values.chunks]
            values = pa.chunked_array(flat, values.type.value_type)
        if not casts(values.type, np.dtype(self.spec.dtype)):
            raise wrong_type(name, wanted, column)
        self._check_nulls(values, rows)
        found, _ = numbers(values)
        check_finite(name, found, len(found) // rows)
        return found.astype(self.spec.dtype, copy=False).reshape(rows, *self.spec.shape)

    def _check_lengths(self, column: pa.ChunkedArray, size: int, rows: int) -> None:
        lengths = np.concatenate([_lengths(chunk) for chunk in column.chunks])
        if (lengths != size).any():
            at = int((lengths != size).argmax())
            row = at // (len(column) // rows)
            wanted, got = f"a list of {size} items", f"one of {lengths[at]}"
            raise ContractViolationError(place_in_columns(self.spec.name)(row), row, wanted, got)

    def _check_nulls(self, column: pa.ChunkedArray, rows: int) -> None:
        at = first_null(column)
        if at is not None:
            row = at // (len(column) // rows)
            raise violation_at(place_in_columns(self.spec.name), row, "a value", None)


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    )


def _lengths(chunk: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    if pa.types.is_fixed_size_list(chunk.type):
        return np.full(len(chunk), chunk.type.list_size, np.int64)
    return np.asarray(np.diff(chunk.offsets.to_numpy()), np.int64)


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
