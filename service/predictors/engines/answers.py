"""Turn an estimator's answer into Predictions, quickly where it is plain."""

from collections.abc import Callable
from typing import Any

import numpy as np

from service.contracts.contract import Column, Contract, Predictions
from service.contracts.signature import DEFAULT_OUTPUT
from service.predictors.engines.engine import Array
from service.predictors.outputs import single_valued, to_predictions

_PLAIN = frozenset(map(np.dtype, ("float64", "float32", "int64", "int32")))


def answering(contract: Contract) -> Callable[[Any, int], Predictions]:
    """Return what gives the same Predictions as `to_predictions`, with its names made ready.

    An array of finite numbers with a column for each output, or of labels that are texts, is taken
    as it is; whatever else goes the long way.
    """
    names = [spec.name for spec in contract.outputs] or [DEFAULT_OUTPUT]
    width = len(names)
    plain = width > 1 or names[0] in single_valued(contract)
    shapes: list[list[int]] = [[] for _ in names]

    def answer(output: Any, rows: int) -> Predictions:
        if isinstance(output, np.ndarray) and (
            output.shape == (rows,) or (plain and output.shape == (rows, width))
        ):
            quick = _texts(output) if output.dtype.kind in "OU" else _numbers(output)
            if quick is not None and len(quick[0]) == width:
                columns, dtype = quick
                return Predictions(rows, names, columns, [dtype] * width, shapes, [])
        return to_predictions(contract, output, rows)

    return answer


def _numbers(output: Array) -> tuple[list[Column], str] | None:
    """Return the columns of finite numbers, None for others."""
    if output.dtype not in _PLAIN or not np.isfinite(output).all():
        return None
    if output.ndim == 1 or output.shape[1] == 1:
        return [output.tobytes()], output.dtype.name
    return [column.tobytes() for column in output.T], output.dtype.name


def _texts(output: Array) -> tuple[list[Column], str] | None:
    """Return the column of texts, None for others."""
    texts = output.tolist()
    return ([texts], "") if all(type(text) is str for text in texts) else None
