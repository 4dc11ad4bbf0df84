"""A model of two lines, logged from this file as code: it answers `a` times its factor."""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel


class Tiny(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a * factor`, the factor given where the model was logged."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Multiply the column."""
        del params
        return (model_input["a"] * context.model_config["factor"]).to_frame("y")


mlflow.models.set_model(Tiny())
