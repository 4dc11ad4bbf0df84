"""Answers that hold much for a row: such values are written as JSON in the worker, one by one.

The server process would read and write each in one step of the interpreter, during which nothing
else of it runs, not even where a thread takes that step. JSON that is there already is only copied.
"""

import math

import msgspec

from service.codecs.json.encoding import values_of, write
from service.contracts.answer_size import WRITTEN, holds_much
from service.contracts.contract import Predictions

_NARROW = 16
"""A row's value of fewer numbers stays a part of its column's buffer: many are written together."""


def with_written_cells(predictions: Predictions) -> Predictions:
    """Return an answer that is cheap to read and to write, whatever it holds."""
    if not holds_much(predictions):
        return predictions
    columns, dtypes = list(predictions.columns), list(predictions.dtypes)
    for index, (column, shape) in enumerate(zip(columns, predictions.shapes, strict=True)):
        if isinstance(column, list) or math.prod(shape) >= _NARROW:
            values = values_of(column, dtypes[index], shape, 0, predictions.rows)
            columns[index], dtypes[index] = list(map(write, values)), WRITTEN
    return msgspec.structs.replace(predictions, columns=columns, dtypes=dtypes)
