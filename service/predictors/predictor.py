"""How a loaded model is called: one interface for all engines."""

from typing import Protocol

from service.contracts.contract import Call, Predictions


class Predictor(Protocol):
    """A loaded model."""

    name: str
    """The name of its engine, for people and for metrics."""

    def predict(self, call: Call) -> Predictions:
        """Answer every row, in order.

        Raise whatever the model raises, and ModelOutputError for an answer that is none.
        """
        ...
