"""Whether a worker's answer is one at all: what is taken of it later is there, and no more.

A worker runs a model's code, which may do anything to what the worker sends. What does not fit
would give a caller another's rows, or fail for all of a batch.
"""

import functools
import math
import operator

import numpy as np

from service.contracts.answer_size import WRITTEN
from service.contracts.contract import Column, Predictions

_KINDS = frozenset("biufmM")
"""Numpy's letters for what a buffer may hold: numbers, booleans and times."""
_MOST_DIMENSIONS = 32
_SHOWN_CHARACTERS = 20
_LONGEST_DTYPE = 32
"""A longer text is no dtype of numbers, and is not remembered."""


def misfit(predictions: Predictions, rows: int | None) -> str:
    """Return what is wrong with an answer to so many rows, '' where nothing is.

    Without `rows` it may be one to any number of them.
    """
    answered, columns = predictions.rows, predictions.columns
    dtypes, shapes = predictions.dtypes, predictions.shapes
    if answered != rows and (rows is not None or answered < 0):
        return f"{answered} rows for {rows}"
    if not len(columns) == len(predictions.names) == len(dtypes) == len(shapes):
        return f"{len(columns)} columns, and other numbers of names, types or shapes"
    if not 0 <= predictions.took_s < math.inf:
        return f"it took {predictions.took_s} s"
    for index, column in enumerate(columns):
        if not _fits(column, dtypes[index], shapes[index], answered):
            dtype = dtypes[index][:_SHOWN_CHARACTERS]
            return f"a column of {len(column)} of {dtype!r} for {answered} rows"
    marked = predictions.non_finite
    if marked and not (marked[0] >= 0 and marked[-1] < answered and _ascends(marked)):
        return "rows that are not finite, and not there"
    return ""


def _fits(column: Column, dtype: str, shape: list[int], rows: int) -> bool:
    if isinstance(column, list):
        # JSON is copied as it is: what is none of it would be met by all of a batch.
        return len(column) == rows and (dtype != WRITTEN or set(map(type, column)) <= {bytes})
    size = item_size(dtype) if len(dtype) <= _LONGEST_DTYPE else 0
    if not shape:
        return bool(size) and len(column) == rows * size
    if min(shape) < 0 or len(shape) > _MOST_DIMENSIONS:
        return False
    return bool(size) and len(column) == rows * size * math.prod(shape)


def _ascends(numbers: list[int]) -> bool:
    return all(map(operator.lt, numbers, numbers[1:]))


@functools.lru_cache(maxsize=256)
def item_size(dtype: str) -> int:
    """Return the bytes of one number, 0 for what is no dtype of numbers."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError, RecursionError, OverflowError):
        return 0
    return found.itemsize if found.kind in _KINDS and not found.shape else 0
