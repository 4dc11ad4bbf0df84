"""What the form of a large body costs, step by step, and over HTTP beside the model's own time.

    python -m bench.bodies [--rows 10000] [--rounds 15]

Starts an MLflow server and the service on this machine, with the forest that the demo trains, and
sends the same rows as rows, as columns and as an Arrow stream. Prints milliseconds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from service.codecs.arrow.codec import ArrowStreams
from service.codecs.bounds import Bounds
from service.codecs.rows_and_columns.codec import BY_COLUMNS, BY_ROWS, RowsAndColumns
from service.commands.demo import model as forest
from service.contracts.choose import contract_for
from service.core.version_names import VersionNames
from service.predictors.inputs import to_model_input
from service.predictors.pyfunc import PyfuncPredictor
from tools import mlflow_server, running_service
from tools.arrow_bodies import ARROW, JSON, stream

MAX_DECODED_BYTES = 2**28


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = mlflow_server.start(Path(folder) / "mlflow")
        try:
            _measure(server, Path(folder) / "service", chosen)
        finally:
            server.stop()


def _measure(server: mlflow_server.MlflowServer, folder: Path, chosen: argparse.Namespace) -> None:
    pipeline, inputs, _ = forest.train(months=48)
    with server.active() as mlflow:
        forest.register(server.uri, pipeline, inputs, name=forest.NAME)
        model = mlflow.pyfunc.load_model(f"models:/{forest.NAME}/1")
    server.set_alias(forest.NAME, "champion", 1)
    months, _ = forest.generate(60, seed=5)
    frame = pd.concat([months] * -(-chosen.rows // len(months)), ignore_index=True)
    frame = frame.head(chosen.rows)
    bodies = {
        "rows": (JSON, json.dumps({"instances": frame.to_dict(orient="records")}).encode()),
        "columns": (JSON, json.dumps({"columns": frame.to_dict(orient="list")}).encode()),
        "Arrow": (ARROW, stream(pa.Table.from_pandas(frame, preserve_index=False))),
    }
    _print("in one process", _steps(model, bodies), chosen.rounds)
    with running_service.start(folder, server.uri, model_alias="champion") as service:

        def sent(kind: str, body: bytes) -> Callable[[], Any]:
            headers = {"content-type": kind}
            send = service.client.post
            return lambda: send("/predict", content=body, headers=headers).raise_for_status()

        calls: dict[str, Callable[[], Any]] = {
            "the model's own": lambda: pipeline.predict(frame),
            **{f"as {name}": sent(*body) for name, body in bodies.items()},
        }
        _print("over HTTP", calls, chosen.rounds)


def _steps(model: Any, bodies: dict[str, tuple[str, bytes]]) -> dict[str, Callable[[], Any]]:
    """Return the steps of a request in the worker."""
    signature = model.metadata.signature.to_dict()
    contract = contract_for(forest.NAME, signature, refuse_unknown=False)
    json_codec, arrow = RowsAndColumns(contract), ArrowStreams(contract)
    bounds = Bounds(len(bodies["Arrow"][1]), MAX_DECODED_BYTES)
    call, _ = arrow.decode(bodies["Arrow"][1], bounds)
    names = VersionNames(forest.NAME, "1")
    predictor = PyfuncPredictor(model, contract)
    answer = predictor.predict(call)
    return {
        "decode rows": lambda: json_codec.decode(bodies["rows"][1]),
        "decode columns": lambda: json_codec.decode(bodies["columns"][1]),
        "decode Arrow": lambda: arrow.decode(bodies["Arrow"][1], bounds),
        "make the frame": lambda: to_model_input(contract, call),
        "predict": lambda: predictor.predict(call),
        "encode rows": lambda: json_codec.encode(answer, 0, answer.rows, BY_ROWS, names),
        "encode Arrow": lambda: arrow.encode(answer, 0, answer.rows, BY_COLUMNS, names),
    }


def _print(where: str, calls: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Print each call's least and median time; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                taken[name].append((time.perf_counter() - began) * 1000)
    print(f"{where:20} {'least':>9} {'median':>9}")
    for name, milliseconds in taken.items():
        print(f"{name:20} {min(milliseconds):9.3f} {statistics.median(milliseconds):9.3f}")


if __name__ == "__main__":
    main()
