"""A model of one input of each type, all optional, that answers 1 to every row."""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    import pandas as pd
    from mlflow.pyfunc.model import PythonModel


class Ones(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer as many ones as there are rows."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer 1.0 to each row."""
        del context, params
        return pd.DataFrame({"y": [1.0] * len(model_input)})


mlflow.models.set_model(Ones())
