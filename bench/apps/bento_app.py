"""BentoML's way: a service whose method takes batches. Runs in an environment of its own."""

import os
from typing import Any

import bentoml
import mlflow
import pandas as pd


@bentoml.service(
    workers=1,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Forest:
    """The model, one copy."""

    def __init__(self) -> None:
        self.model = mlflow.pyfunc.load_model(os.environ["BENCH_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=16_384, max_latency_ms=60_000)  # type: ignore[untyped-decorator]  # not installed here
    def predict(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """Predict for the rows of several requests."""
        predictions: list[list[float]] = self.model.predict(pd.DataFrame(rows)).tolist()
        return predictions
