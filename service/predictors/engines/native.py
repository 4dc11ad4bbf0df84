"""Call the object that MLflow wraps, without the enforcement that the contract has done already."""

from typing import Any

from service.contracts.contract import Call, Predictions
from service.predictors.engines.model_parts import ModelParts
from service.predictors.inputs import to_model_input
from service.predictors.outputs import ForEachOutput, to_predictions


class NativePredictor:
    """A scikit-learn, XGBoost or LightGBM model; see Predictor."""

    name = "native"

    def __init__(self, parts: ModelParts) -> None:
        self._contract = parts.contract
        self._answer = getattr(parts.raw, parts.method)
        if parts.flavour == "xgboost" and type(parts.raw).__name__ == "Booster":
            self._answer = _of_booster(parts.raw)

    def predict(self, call: Call) -> Predictions:
        """Answer every row; see Predictor."""
        output = self._answer(to_model_input(self._contract, call))
        if isinstance(output, list):  # scikit-learn's, of several outputs
            output = ForEachOutput(output)
        return to_predictions(self._contract, output, call.rows)


def _of_booster(booster: Any) -> Any:
    """Give XGBoost's own class what it takes, as MLflow's wrapper does."""
    import xgboost  # noqa: PLC0415 - a model of it brings it

    return lambda data: booster.predict(xgboost.DMatrix(data), validate_features=True)
