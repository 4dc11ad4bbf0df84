"""What every contender stands on: the forest, trained and registered, and its artifacts on disk."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.commands.demo import model as forest
from tools import mlflow_server
from tools.mlflow_server import MlflowServer

MONTHS = 48
TREES = 100
MODEL_URI = f"models:/{forest.NAME}@{forest.ALIAS}"
_OTHERS = ("MODEL_", "MLFLOW_", "ADMIN_")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ground:
    """Where the model is, and where contenders may write."""

    folder: Path
    server: MlflowServer
    model: Path
    environments: Path

    def load(self) -> Any:
        """Load the model as mlflow.pyfunc does, whose answers are the right ones."""
        with self.server.active() as mlflow:
            return mlflow.pyfunc.load_model(str(self.model))

    def environ(self) -> dict[str, str]:
        """Return a contender's environment, in which the model's place is `BENCH_MODEL`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_OTHERS)}
        return kept | {
            "BENCH_MODEL": str(self.model),
            "PYTHONPATH": str(_ROOT),
            "PYTHONUNBUFFERED": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "BENTOML_DO_NOT_TRACK": "true",
            "DO_NOT_TRACK": "true",
        }


@contextlib.contextmanager
def prepared(environments: Path) -> Iterator[Ground]:
    """Train the forest, register it with an MLflow server of its own, and promote it.

    From then on a SIGTERM ends what was started too, as Ctrl-C does.
    """
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        server = mlflow_server.start(folder / "mlflow")
        try:
            version = register_forest(server, MONTHS)
            server.set_alias(forest.NAME, forest.ALIAS, version)
            with server.active() as mlflow:
                model = mlflow.artifacts.download_artifacts(
                    f"models:/{forest.NAME}/{version}", dst_path=str(folder / "model")
                )
            yield Ground(folder, server, Path(model), environments.resolve())
        finally:
            server.stop()


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def register_forest(server: MlflowServer, months: int, seed: int = 0) -> str:
    """Train on so many months and register. Return the version."""
    with server.active():
        pipeline, inputs, _ = forest.train(seed, months=months, n_trees=TREES)
        return forest.register(server.uri, pipeline, inputs)
