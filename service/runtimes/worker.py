"""What runs in a worker process: load one version, then answer calls with it.

Everything of ours is imported before the model is: a model may bring modules of the same names,
and from then on those names are its own.
"""

import json
import os
import platform
import time
import traceback
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import threadpoolctl
import yaml
from mlflow.version import VERSION as MLFLOW_VERSION

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Predictions
from service.core.errors import ModelFailedError, ServiceError
from service.core.manifest import verify_stored
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.predictors.rows import example_call, judge_row_wise, probe_calls
from service.runtimes.bootstrap import Operations
from service.runtimes.messages import (
    LoadReply,
    LoadRequest,
    RawReply,
    RawRequest,
    SmokeReply,
    SmokeRequest,
)
from service.runtimes.protocol import describe
from service.runtimes.shadowing import give_way


class Worker:
    """One loaded version."""

    def __init__(self) -> None:
        self._path: Path
        self._contract: Contract
        self._predictor: Predictor

    def load(self, request: LoadRequest) -> LoadReply:
        """Load the model from its folder.

        Raise StoreCorruptError for files that are not those that were fetched, SignatureError for
        a model that does not say what it takes, and whatever the model raises.
        """
        started = time.perf_counter()
        self._path = Path(request.path)
        verify_stored(self._path, request.digest)
        _use_threads(request.threads)
        described = yaml.safe_load((self._path / "MLmodel").read_text(encoding="utf-8"))
        signature = _parsed(described.get("signature"))
        self._contract = contract_for(
            request.name, signature, refuse_unknown=request.refuse_unknown
        )
        give_way(self._path, described)
        model = mlflow.pyfunc.load_model(str(self._path))
        self._predictor = PyfuncPredictor(model, self._contract)
        return LoadReply(
            signature=signature or {},
            mlflow_version=MLFLOW_VERSION,
            python_version=platform.python_version(),
            load_s=time.perf_counter() - started,
        )

    def smoke(self, _: SmokeRequest) -> SmokeReply:
        """Predict on the model's own example, and find out whether it is row-wise."""
        example = example_call(self._contract, self._path)
        row_wise, why = judge_row_wise(
            self._predictor.predict, probe_calls(self._contract, example.call)
        )
        if example.call is None:
            return SmokeReply("", 0, "", row_wise, f"{example.reason}; {why}")
        rows_from = "its input example"
        try:
            predictions = self.predict(example.call)
        except ServiceError as error:
            refusal = f"it does not answer its own input example: {error}"
        else:
            refusal = _non_finite(predictions)
        return SmokeReply(rows_from, example.call.rows, refusal, row_wise, why)

    def predict(self, call: Call) -> Predictions:
        """Answer a call. Raise ModelFailedError for whatever the model raises."""
        try:
            return self._predictor.predict(call)
        except ServiceError:
            raise
        except BaseException as error:
            raise ModelFailedError(
                f"the model raised {describe(error)}", traceback.format_exc()
            ) from error

    def predict_raw(self, request: RawRequest) -> RawReply:
        """Decode, answer and encode a whole body here, where its size holds up nobody."""
        predictions = self.predict(self._contract.decode(request.body))
        if predictions.non_finite:
            return RawReply(predictions.rows, b"", predictions.non_finite[0])
        encoded = self._contract.encode(predictions, 0, predictions.rows)
        return RawReply(predictions.rows, encoded, None)


def operations(_: bytes) -> Operations:
    """Return what a worker can be asked for."""
    worker = Worker()
    return {
        "load": (LoadRequest, worker.load),
        "smoke": (SmokeRequest, worker.smoke),
        "predict": (Call, worker.predict),
        "predict_raw": (RawRequest, worker.predict_raw),
    }


def _non_finite(predictions: Predictions) -> str:
    """Say which row of an example got NaN or infinity, '' where none did."""
    if not predictions.non_finite:
        return ""
    return f"its answer to row {predictions.non_finite[0]} of its input example is not finite"


def _use_threads(threads: int) -> None:
    """Limit the numeric libraries that are loaded, and by the environment those that will be."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)
    threadpoolctl.threadpool_limits(threads)


def _parsed(signature: dict[str, Any] | None) -> dict[str, Any] | None:
    """Parse the parts of an MLmodel file's signature, which are JSON inside YAML."""
    if signature is None:
        return None
    return {
        part: json.loads(value) if isinstance(value, str) else value
        for part, value in signature.items()
    }
