"""A model whose columns and answers are HTML that would run, were it ever taken for HTML."""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel

COLUMN = '<img src=x onerror="alert(1)">'
ANSWERS = "</pre><svg onload=alert(2)>"


class Hostile(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer with what came, and more."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer."""
        del context, params
        return (model_input[COLUMN] + ANSWERS).to_frame(ANSWERS)


mlflow.models.set_model(Hostile())
