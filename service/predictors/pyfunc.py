"""Call a model through MLflow's own pyfunc interface: right for every flavour."""

import copy
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema

from service.contracts.contract import Call, Contract, Predictions
from service.contracts.filling import without_missing
from service.contracts.merge import part
from service.predictors.hints import is_hinted
from service.predictors.inputs import ModelInput, to_model_input
from service.predictors.outputs import ForEachOutput, to_predictions
from service.predictors.report import PYFUNC

_TAKE_ONE = frozenset(
    f"mlflow.pyfunc.loaders.{kind}" for kind in ("chat_model", "chat_agent", "responses_agent")
)
"""MLflow's loaders of models that answer one request each time, the first row of a frame."""
KEPT_COLUMNS = 10_000
"""All widened schemas keep at most so many columns: with more, callers fill more of its memory."""


class PyfuncPredictor:
    """A model that `mlflow.pyfunc.load_model` returned."""

    name = PYFUNC

    def __init__(
        self,
        model: Any,
        contract: Contract,
        *,
        any_rows: bool = False,
        kept_columns: int = KEPT_COLUMNS,
    ) -> None:
        self._model = model
        self._contract = contract
        self._optional_integers = frozenset(
            described.get("name")
            for spec, described in zip(contract.inputs, contract.signature["inputs"], strict=True)
            if not spec.required and spec.type in {"integer", "long"}
        )
        described = model.metadata.flavors.get("python_function", {})
        self._of_sklearn = described.get("loader_module") == "mlflow.sklearn"
        self._takes_one = described.get("loader_module") in _TAKE_ONE
        self._hinted = is_hinted(model)
        self._any_rows = any_rows
        self._kept_columns = kept_columns
        self._widened: dict[frozenset[Any], Any] = {}

    @property
    def widened(self) -> int:
        """How many widened schemas it keeps."""
        return len(self._widened)

    def predict(self, call: Call) -> Predictions:
        """Answer every row; see Predictor."""
        if self._takes_one:
            # A chat or an agent has a default for whatever a request has not.
            lone = (part(call, row, row + 1) for row in range(call.rows))
            output: Any = [self._answer(without_missing(self._contract.inputs, c)) for c in lone]
        else:
            output = self._answer(call)
        if self._of_sklearn and isinstance(output, list):
            output = ForEachOutput(output)
        return to_predictions(self._contract, output, None if self._any_rows else call.rows)

    def _answer(self, call: Call) -> Any:
        data = to_model_input(self._contract, call, hinted=self._hinted)
        model = self._model_for(data)
        if call.params is None:
            return model.predict(data)
        return model.predict(data, params=copy.deepcopy(call.params))  # the model's own

    def _model_for(self, data: ModelInput) -> Any:
        """Return the model, with a schema that lets integers with missing values pass.

        MLflow's enforcement takes no null in an optional integer column, whatever its dtype; its
        documentation says to declare such a column double, which is done here for that call.
        """
        if not self._optional_integers or not isinstance(data, pd.DataFrame):
            return self._model
        missing = frozenset(
            name
            for name in self._optional_integers
            if name in data and data.dtypes[name].kind == "f"
        )
        if not missing:
            return self._model
        widened = self._widened.get(missing)
        if widened is None:
            # Callers choose which columns have nulls, and there are 2**n such choices.
            if len(self._widened) * len(self._contract.inputs) > self._kept_columns:
                self._widened.clear()
            widened = self._widened[missing] = _widened(self._model, missing)
        return widened


def _widened(model: Any, columns: frozenset[Any]) -> Any:
    """Return the same model behind a schema in which these columns are double."""
    signature = model.metadata.signature
    inputs = Schema(
        [
            ColSpec(DataType.double, spec.name, spec.required) if spec.name in columns else spec
            for spec in signature.inputs
        ]
    )
    metadata = copy.copy(model.metadata)
    metadata.signature = ModelSignature(inputs, signature.outputs, signature.params)
    widened = copy.copy(model)
    widened._model_meta = metadata  # noqa: SLF001 - PyFuncModel has no other way
    return widened
