"""The code of a model that answers by the version of a library in its own environment.

With `lib-that-tells` 2.0 it is `y = a * 2.0`. MLflow runs this file when the model is logged, where
there is no such library.
"""

import importlib

import mlflow
import pandas as pd


class Telling(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Imports the library where it is asked."""

    def predict(
        self,
        context: object,  # noqa: ARG002 - as MLflow calls it
        model_input: pd.DataFrame,
        params: object = None,  # noqa: ARG002 - the same
    ) -> object:
        """Multiply by the library's version."""
        library = importlib.import_module("lib_that_tells")
        return pd.DataFrame({"y": model_input["a"] * float(library.__version__)})


mlflow.models.set_model(Telling())
