"""LitServe's way: one worker, which is given batches. Runs in an environment of its own."""

import os
import sys
from typing import Any

import litserve
import mlflow
import pandas as pd


class Forest(litserve.LitAPI):  # type: ignore[misc]  # not installed where types are checked
    """The model, one copy; a request holds some rows, a batch some requests."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        self.model = mlflow.pyfunc.load_model(os.environ["BENCH_MODEL"])

    def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the rows."""
        rows: list[dict[str, Any]] = request["rows"]
        return rows

    def predict(self, requests: list[list[dict[str, Any]]]) -> list[list[list[float]]]:
        """Predict for the rows of all of them together."""
        rows = [row for request in requests for row in request]
        predictions = self.model.predict(pd.DataFrame(rows)).tolist()
        answers, taken = [], 0
        for request in requests:
            answers.append(predictions[taken : taken + len(request)])
            taken += len(request)
        return answers

    def encode_response(self, output: list[list[float]]) -> dict[str, Any]:
        """Name what is given."""
        return {"predictions": output}


if __name__ == "__main__":
    litserve.LitServer(
        Forest(max_batch_size=64, batch_timeout=0.005),
        accelerator="cpu",
        workers_per_device=1,
        timeout=60,
    ).run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
