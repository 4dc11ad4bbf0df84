"""Predictors that do as a test tells them, on calls of one column of doubles named `a`."""

from collections.abc import Callable, Sequence

import numpy as np

from service.contracts.contract import Call, Predictions

Doubles = np.ndarray[tuple[int], np.dtype[np.float64]]
Function = Callable[[Doubles], Doubles]


def call_of(values: Sequence[float]) -> Call:
    """Return a call with these values."""
    return Call(len(values), [np.array(values, np.float64).tobytes()])


def values_of(call: Call) -> Doubles:
    """Return a call's values."""
    column = call.columns[0]
    assert isinstance(column, bytes)
    return np.frombuffer(column, np.float64)


def answer_of(values: Doubles) -> Predictions:
    """Return an answer of one column."""
    return Predictions(len(values), ["y"], [values.tobytes()], ["float64"], [[]], [])


class Stub:
    """A predictor that answers by a function, and counts the rows of its calls."""

    def __init__(self, name: str, function: Function) -> None:
        self.name = name
        self.function = function
        self.asked: list[int] = []

    def predict(self, call: Call) -> Predictions:
        """Answer by the function."""
        self.asked.append(call.rows)
        return answer_of(self.function(values_of(call)))


def raising(error: Exception) -> Function:
    """Return a function that raises."""

    def function(_: Doubles) -> Doubles:
        raise error

    return function
