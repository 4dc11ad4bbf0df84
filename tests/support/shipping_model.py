"""A model that answers by code it ships beside itself; logged from this file as code.

The config's `module` is imported when the first prediction is made, and has a FACTOR.
"""

import importlib
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel


class Shipping(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a * FACTOR`."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Multiply the column by what the shipped module says."""
        del params
        module = importlib.import_module(context.model_config["module"])
        return (model_input["a"] * module.FACTOR).to_frame("y")


mlflow.models.set_model(Shipping())
