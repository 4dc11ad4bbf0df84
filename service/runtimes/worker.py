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

from service.contracts.arrow.answer import encode_stream
from service.contracts.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Form, Predictions
from service.core.errors import ModelFailedError, ServiceError
from service.core.manifest import verify_stored
from service.core.media import Media
from service.predictors import trial
from service.predictors.predictor import Predictor
from service.predictors.pyfunc import PyfuncPredictor
from service.runtimes.bootstrap import Operations
from service.runtimes.messages import (
    LoadReply,
    LoadRequest,
    RawReply,
    RawRequest,
    SmokeReply,
    SmokeRequest,
    SpeedReply,
    SpeedRequest,
    Timing,
)
from service.runtimes.protocol import describe
from service.runtimes.shadowing import give_way


class Worker:
    """One loaded version."""

    def __init__(self) -> None:
        self._path: Path
        self._contract: Contract
        self._predictor: Predictor
        self._arrow_requests: ArrowRequests
        self._lone_s: list[float] = []
        """What calls of one row took when it was tried on its example."""

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
        self._arrow_requests = ArrowRequests(self._contract)
        give_way(self._path, described)
        # Unwarned: the environment gate has told what differs from the version's requirements.
        # MLflow reads the metadata of every installed package for it, which takes 0.4 s each time.
        model = mlflow.pyfunc.load_model(str(self._path), suppress_warnings=True)
        self._predictor = PyfuncPredictor(model, self._contract)
        return LoadReply(
            signature=signature or {},
            mlflow_version=MLFLOW_VERSION,
            python_version=platform.python_version(),
            load_s=time.perf_counter() - started,
        )

    def smoke(self, request: SmokeRequest) -> SmokeReply:
        """Predict on an example or on made-up rows, and find out whether it is row-wise."""
        rows = self._rows_to_try(request.incumbent_path)
        watched = trial.Watched(self.predict)
        answered = trial.try_to_answer(self._contract, watched, rows)
        self._lone_s = watched.lone_s
        return SmokeReply(*answered)

    def speed(self, request: SpeedRequest) -> SpeedReply:
        """Time calls on the same rows."""
        rows = self._rows_to_try(request.incumbent_path)
        timed = trial.time_calls(self._contract, self._predictor.predict, rows, self._lone_s)
        return SpeedReply(
            tuple(Timing(rows, seconds * 1000, runs) for rows, seconds, runs in timed)
        )

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

    def _rows_to_try(self, incumbent_path: str) -> trial.Rows:
        incumbent = Path(incumbent_path) if incumbent_path else None
        return trial.rows_to_try(self._contract, self._path, incumbent)

    def predict_raw(self, request: RawRequest) -> RawReply:
        """Decode, answer and encode a whole body here, where its size holds up nobody."""
        form = Form.COLUMNS
        if request.kind is Media.ARROW:
            call = self._arrow_requests.decode(request.body, request.max_decoded_bytes)
        else:
            call, form = self._contract.read(request.body)
        predictions = self.predict(call)
        rows = predictions.rows
        if predictions.non_finite:
            return RawReply(rows, b"", predictions.non_finite[0])
        if request.answer is Media.ARROW:
            return RawReply(
                rows, encode_stream(self._contract, predictions, request.metadata), None
            )
        return RawReply(rows, self._contract.encode(predictions, 0, rows, form), None)


def operations(_: bytes) -> Operations:
    """Return what a worker can be asked for."""
    worker = Worker()
    return {
        "load": (LoadRequest, worker.load),
        "smoke": (SmokeRequest, worker.smoke),
        "speed": (SpeedRequest, worker.speed),
        "predict": (Call, worker.predict),
        "predict_raw": (RawRequest, worker.predict_raw),
    }


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
