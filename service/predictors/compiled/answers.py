"""Turn an estimator's answer into Predictions, quickly where it is plain."""

from collections.abc import Callable
from typing import Any

import numpy as np

from service.contracts.contract import Contract, Predictions
from service.contracts.signature import DEFAULT_OUTPUT
from service.predictors.outputs import to_predictions


def answering(contract: Contract) -> Callable[[Any, int], Predictions]:
    """Return what gives the same Predictions as `to_predictions`, with its names made ready.

    An array of finite doubles with a column for each output is taken as it is; whatever else goes
    the long way.
    """
    names = [spec.name for spec in contract.outputs] or [DEFAULT_OUTPUT]
    width = len(names)
    dtypes, shapes = ["float64"] * width, [[] for _ in names]  # type: ignore[var-annotated]
    double = np.dtype(np.float64)

    def answer(output: Any, rows: int) -> Predictions:
        if (
            isinstance(output, np.ndarray)
            and output.dtype == double
            and output.size == rows * width
            and len(output) == rows
            and np.isfinite(output).all()
        ):
            columns: list[Any] = (
                [output.tobytes()] if width == 1 else [column.tobytes() for column in output.T]
            )
            return Predictions(rows, names, columns, dtypes, shapes, [])
        return to_predictions(contract, output, rows)

    return answer
