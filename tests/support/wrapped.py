"""A fitted model as MLflow would load it, made without a server and without writing the model."""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract
from tests.support.envelopes import decoded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from mlflow.lightgbm import _LGBModelWrapper
    from mlflow.models import Model, infer_signature
    from mlflow.pyfunc import PyFuncModel
    from mlflow.sklearn import _SklearnModelWrapper
    from mlflow.xgboost import _XGBModelWrapper

    from service.predictors.choosing.compiling import compile_model
    from service.predictors.choosing.engine_builder import MOST_FEATURES
    from service.predictors.report import Outcome, Report

_WRAPPERS = {
    "sklearn": _SklearnModelWrapper,
    "xgboost": _XGBModelWrapper,
    "lightgbm": _LGBModelWrapper,
}
_EXAMPLE_ROWS = 5


class Wrapped(NamedTuple):
    """A pyfunc model, its contract, and the folder that holds its input example."""

    model: Any
    contract: Contract
    folder: Path

    def compile(self, files: Path, most_features: int = MOST_FEATURES) -> Report:
        """Try every engine on it, and time each size once: what is asked is what is right."""
        files.mkdir()
        return compile_model(
            *(self.model, self.contract, self.folder, files, 2, 1e-12),
            enough_s=0.0,
            most_features=most_features,
        )

    def call(self, rows: Any) -> Call:
        """Return rows, of a frame or an array, as a decoded request."""
        plain = rows.tolist() if isinstance(rows, np.ndarray) else rows.to_dict(orient="records")
        body = json.dumps({"instances": plain})
        return decoded(self.contract, body.encode())


def wrap(
    raw: Any, inputs: Any, folder: Path, method: str = "predict", flavour: str = "sklearn"
) -> Wrapped:
    """Wrap a fitted model; `inputs` are what its signature and its example are read off."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hint on integers with missing values
        answers = _answers(raw, inputs, method)
        signature = infer_signature(inputs, answers)
    meta = Model(signature=signature)
    meta.flavors["python_function"] = {
        "loader_module": f"mlflow.{flavour}",
        "predict_fn": method,
    }
    model = PyFuncModel(model_meta=meta, model_impl=_WRAPPERS[flavour](raw), predict_fn=method)
    few = inputs[:_EXAMPLE_ROWS]
    example = (
        json.dumps({"inputs": few.tolist()})
        if isinstance(few, np.ndarray)
        else few.to_json(orient="split", index=False)
    )
    (folder / "input_example.json").write_text(example, encoding="utf-8")
    return Wrapped(model, contract_for("m", signature.to_dict(), refuse_unknown=False), folder)


def _answers(raw: Any, inputs: Any, method: str) -> Any:
    data: Any = inputs
    if type(raw).__name__ == "Booster" and type(raw).__module__.startswith("xgboost"):
        import xgboost  # noqa: PLC0415 - an extra of the tests

        data = xgboost.DMatrix(inputs)
    answers = getattr(raw, method)(data)
    return np.asarray(answers)


def by_name(report: Report) -> dict[str, Outcome]:
    """Return what came of each predictor."""
    return {one.name: one for one in report.predictors}
