"""The guide's model behind a service, beside the same model as mlflow.pyfunc loads it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from service.commands.demo.model import NAME, OUTPUTS, generate, train
from tools.mlflow_server import MlflowServer, free_port, unique_name
from tools.running_service import RunningService, start


class Guide(NamedTuple):
    """A service with the guide's model, its pointer, and how to know what it must answer."""

    service: RunningService
    version: str
    alias: str
    pyfunc: Any
    grpc_address: str
    months: pd.DataFrame
    """Months of which the model has not seen the rows."""

    def instances(self, rows: int) -> list[dict[str, Any]]:
        """Return the first rows as a caller writes them."""
        instances: list[dict[str, Any]] = self.months.head(rows).to_dict(orient="records")  # type: ignore[assignment]
        return instances

    def expected(self, rows: int) -> "np.ndarray[Any, Any]":
        """Return what mlflow.pyfunc answers to them, a row each."""
        return np.asarray(self.pyfunc.predict(self.months.head(rows)))


@contextlib.contextmanager
def serve_guide(server: MlflowServer, folder: Path) -> Iterator[Guide]:
    """Train a small forest, register it under the guide's name, and serve it by its own alias."""
    registered = register_guide(server)
    # Shared by many tests, beside which it should cost little: so it looks seldom.
    port = free_port()
    with start(
        folder,
        server.uri,
        model_alias=registered.alias,
        poll_interval_s=2,
        grpc_port=port,
    ) as service:
        yield Guide(service, *registered, f"127.0.0.1:{port}", generate(60, seed=5)[0])


class RegisteredGuide(NamedTuple):
    """A forest under the guide's name, at an alias of its own, and as mlflow.pyfunc loads it."""

    version: str
    alias: str
    pyfunc: Any


def register_guide(server: MlflowServer) -> RegisteredGuide:
    """Train a small forest and register it under the guide's name."""
    alias = unique_name("guide")
    with server.active() as mlflow:
        pipeline, inputs, _ = train(months=12, n_trees=20)
        example = inputs.head(3)
        answers = pd.DataFrame(pipeline.predict(example), columns=list(OUTPUTS))
        version = server.register(
            NAME,
            mlflow.sklearn.log_model,
            sk_model=pipeline,
            signature=mlflow.models.infer_signature(inputs, answers),
            input_example=example,
            serialization_format="cloudpickle",
        )
        pyfunc = mlflow.pyfunc.load_model(f"models:/{NAME}/{version}")
    server.set_alias(NAME, alias, version)
    return RegisteredGuide(version, alias, pyfunc)
