"""Take strings and bytes out of Arrow columns, whatever kind of them they are.

Views and dictionaries may name one long value many times over: how long all are together is
counted before a single one is made.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.codecs.arrow.numbers import word_indices
from service.codecs.arrow.stream import check_decoded

_VIEW_INTS = 4
"""A view is four 32-bit integers, the first of which is its length (`Columnar.rst`)."""


def is_string(kind: pa.DataType) -> bool:
    """Tell whether a column holds strings, or numbers that stand for strings."""
    if pa.types.is_dictionary(kind):
        return is_string(kind.value_type) and not pa.types.is_dictionary(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_binary(kind: pa.DataType) -> bool:
    """Tell whether a column holds bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def string_values(column: pa.ChunkedArray, max_bytes: int) -> list[Any]:
    """Return a list of strings, None for a null. Raise BodyTooLargeError over so many bytes."""
    check_decoded(sum(_total_bytes(chunk) for chunk in column.chunks), max_bytes)
    return [value for chunk in column.chunks for value in _strings(chunk)]


def binary_values(column: pa.ChunkedArray, max_bytes: int) -> list[Any]:
    """Return a list of bytes, None for a null. Raise BodyTooLargeError over so many bytes."""
    check_decoded(sum(_total_bytes(chunk) for chunk in column.chunks), max_bytes)
    return [value for chunk in column.chunks for value in chunk.to_pylist()]


def _strings(chunk: pa.Array) -> list[Any]:
    if not pa.types.is_dictionary(chunk.type):
        values: list[Any] = chunk.to_numpy(zero_copy_only=False).tolist()
        return values
    values = chunk.dictionary.to_numpy(zero_copy_only=False).tolist()
    words = np.array([*values, None], object)
    picked: list[Any] = words[word_indices(chunk)].tolist()
    return picked


def _total_bytes(chunk: pa.Array) -> int:
    if pa.types.is_dictionary(chunk.type):
        lengths = np.append(_lengths(chunk.dictionary), 0)
        return int(lengths[word_indices(chunk)].sum())
    return int(_lengths(chunk).sum())


def _lengths(chunk: pa.Array) -> "np.ndarray[Any, Any]":
    """Return each value's length in bytes."""
    if pa.types.is_string_view(chunk.type) or pa.types.is_binary_view(chunk.type):
        end = chunk.offset + len(chunk)  # the buffer may go on behind it
        views = np.frombuffer(chunk.buffers()[1], np.int32, end * _VIEW_INTS)[::_VIEW_INTS]
        lengths = views[chunk.offset :].astype(np.int64)
        return np.where(chunk.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    lengths = pc.fill_null(pc.binary_length(chunk), 0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)
