"""A predictor made of parts: columns in, steps, estimator, answers out."""

from collections.abc import Callable
from typing import Any

from service.contracts.contract import Call, Contract, Predictions
from service.predictors.engines.answers import answering
from service.predictors.engines.engine import Estimate, Transform


class CompiledPredictor:
    """See Predictor; raises BeyondError for rows that are left to the model itself."""

    def __init__(self, name: str, contract: Contract, output: Callable[[Call], Any]) -> None:
        self.name = name
        self._output = output
        self._answer = answering(contract)

    def predict(self, call: Call) -> Predictions:
        """Answer every row; see Predictor."""
        return self._answer(self._output(call), call.rows)


def in_turn(transform: Transform, estimate: Estimate) -> Callable[[Call], Any]:
    """Return steps and estimator as one."""
    return lambda call: estimate(transform(call))
