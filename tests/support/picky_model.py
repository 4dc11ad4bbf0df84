"""A model that can be brought to fail in every way; logged from this file as code.

Its config says how it loads: `factor`, `load_s` and `first_s` (seconds that loading and the first
prediction take), `load_fault` (what loading raises) and `wants` (a file without which it raises);
and which inputs make it misbehave: `raises`, `not_finite` and `hangs`.
"""

import time
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel


class Picky(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a * factor`, unless asked for trouble."""

    def load_context(self, context: Any) -> None:
        """Load as the config says."""
        self.config = dict(context.model_config)
        time.sleep(self.config.get("load_s", 0))
        if fault := self.config.get("load_fault"):
            raise ValueError(fault)
        if (wanted := self.config.get("wants")) and not Path(wanted).exists():
            raise FileNotFoundError(f"{Path(wanted).name} is not there yet")

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer, raise, answer NaN, or hang."""
        del context, params
        time.sleep(self.config.pop("first_s", 0))
        column = model_input["a"]
        if (column == self.config["raises"]).any():
            _raise_deep_inside()
        if (column == self.config["hangs"]).any():
            time.sleep(3600)
        answers = column * self.config.get("factor", 1.0)
        return answers.mask(column == self.config["not_finite"]).to_frame("y")


def _raise_deep_inside() -> None:
    raise ValueError("the oven is too hot")


mlflow.models.set_model(Picky())
