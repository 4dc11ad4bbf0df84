"""A model of a known cost, logged from this file as code: `call_s` for a call, `row_s` for a row.

It sleeps, so that it leaves the CPU to the load. One that is not `row_wise` answers a row by how
far it is from the mean of the rows beside it.
"""

import time
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel


class Slow(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a`, or `y = a - mean(a)`, after the time that its config says."""

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Take the time, then answer."""
        del params
        config = context.model_config
        time.sleep(config["call_s"] + config["row_s"] * len(model_input))
        column = model_input["a"]
        return (column if config["row_wise"] else column - column.mean()).to_frame("y")


mlflow.models.set_model(Slow())
