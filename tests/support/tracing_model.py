"""A model that traces itself, as far as it can: it says which span was current when it was asked.

Its config's `report` is the file that it adds a JSON line to at each prediction; `fault` is what
loading raises.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.pyfunc.model import PythonModel
    from opentelemetry import trace


class Tracing(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answer `y = a`."""

    def load_context(self, context: Any) -> None:
        """Load, or raise."""
        self.report = Path(context.model_config["report"])
        if fault := context.model_config.get("fault"):
            raise ValueError(fault)

    # MLflow reads a type hint on `model_input` as a request to be validated, and warns of most.
    def predict(self, context: Any, model_input, params: Any = None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Tell which span is current, and which variables of exporters it sees."""
        del context, params
        if (model_input["a"] < 0).any():
            raise ValueError("it is negative")
        span = trace.get_current_span().get_span_context()
        line = {
            "trace": f"{span.trace_id:032x}",
            "span": f"{span.span_id:016x}",
            "names": sorted(name for name in os.environ if name.startswith("OTEL_")),
        }
        with self.report.open("a", encoding="utf-8") as report:
            report.write(json.dumps(line) + "\n")
        return model_input[["a"]].rename(columns={"a": "y"})


mlflow.models.set_model(Tracing())
