"""A child that answers immediately, and times what its predictor takes: for the budget alone."""

import time
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import msgspec

from service.commands.demo import model as forest
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Predictions
from service.predictors.choosing.compiling import compile_model
from service.predictors.opening import open_tuned
from service.processes.inside.bootstrap import Operations
from service.store.mlmodel import read_mlmodel

_CALLS = 2_000


def operations(arguments: bytes) -> Operations:
    """Compile the model below a folder of its own, unless that was done; say what can be asked."""
    place = Path(msgspec.msgpack.decode(arguments, type=str))
    described: dict[str, Any] = read_mlmodel(place)
    contract = contract_for(forest.NAME, described["signature"], refuse_unknown=False)
    model = mlflow.pyfunc.load_model(str(place), suppress_warnings=True)
    files = place.parent / "budget-files"
    if not files.exists():
        files.mkdir()
        compile_model(model, contract, place, files, 1, 1e-12)
    tuned, _ = open_tuned(model, contract, files, 1)
    names = list(forest.OUTPUTS)

    def answer(call: Call) -> Predictions:
        columns: list[Any] = [bytes(8 * call.rows)] * 2
        return Predictions(call.rows, names, columns, ["float64"] * 2, [[], []], [])

    def timed(call: Call) -> float:
        for _ in range(_CALLS // 10):
            tuned.predict(call)
        began = time.perf_counter()
        for _ in range(_CALLS):
            tuned.predict(call)
        return (time.perf_counter() - began) / _CALLS * 1000

    return {"predict": (Call, answer), "time": (Call, timed)}
