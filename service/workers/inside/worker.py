"""What runs in a worker process: load one version, then answer calls with it.

Everything of ours is imported before the model is: a model may bring modules of the same names,
and from then on those names are its own.
"""

import platform
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from mlflow.version import VERSION as MLFLOW_VERSION

from service.codecs.bounds import FREE_BYTES, Bounds
from service.codecs.catalog import SCORING
from service.codecs.codec import AnswerForm
from service.codecs.json.cells import with_written_cells
from service.contracts.contract import Call, Contract, Predictions
from service.core.errors import ModelFailedError, ServiceError
from service.core.text import presentable
from service.predictors.answer_rules import AnswerRules
from service.predictors.engine_counts import EngineCounts
from service.predictors.engines.model_parts import why_pyfunc_only
from service.predictors.opening import open_tuned
from service.predictors.predictor import Predictor
from service.predictors.proving import trial
from service.predictors.proving.scored import form_of_answers
from service.predictors.pyfunc import PyfuncPredictor
from service.processes.inside.bootstrap import CountingOperations, Operations
from service.processes.own_memory import show_memory
from service.processes.protocol import Nothing, describe
from service.store.compiled_files import verified
from service.workers.inside.bodies import Bodies, Steps
from service.workers.inside.loading import load_model
from service.workers.inside.model_folder import ModelFolder, told
from service.workers.inside.scoring import JSON, Scoring
from service.workers.inside.trace_parent import as_parent, stepwise_under
from service.workers.messages import (
    ActivateReply,
    ActivateRequest,
    BodyChunk,
    LoadReply,
    LoadRequest,
    RawReply,
    RawRequest,
    SmokeReply,
    SmokeRequest,
    SpeedReply,
    SpeedRequest,
    Timing,
    TracedCall,
    Writes,
)


class Worker:
    """One loaded version."""

    def __init__(self) -> None:
        self._path: Path
        self._threads: int
        self.model: Any
        self.contract: Contract
        self._predictor: Predictor
        self._bodies: Bodies
        self.scoring: Scoring
        self._has_tried_form = False
        self._answers: AnswerRules
        self._folder: ModelFolder | None
        self.engine_counts = EngineCounts()
        """How often engines did not answer since the last reply."""
        self._told_writes = ""
        self._chunks: list[bytes] = []
        """What has come of a body."""
        self._lone_s: list[float] = []
        """What calls of one row took when it was tried on its example."""

    def load(self, request: LoadRequest) -> LoadReply:
        """Load the model from its folder.

        Raise StoreCorruptError for files that are not those that were fetched, SignatureError for
        a model that does not say what it takes, and whatever the model raises.
        """
        started = time.perf_counter()
        self._path, self._threads = Path(request.path), request.threads
        self.model, self.contract, self._folder = load_model(request)
        self._answers = request.answers
        self.scoring = Scoring(self.model, self._answers.scored_non_finite)
        self._bodies = Bodies(self.contract, self.predict)
        self._predictor = PyfuncPredictor(
            self.model, self.contract, any_rows=self._answers.any_rows
        )
        activated = ActivateReply(None)
        if request.compiled:
            activated = self.activate(ActivateRequest(request.compiled))
        return LoadReply(
            signature=self.contract.signature,
            mlflow_version=MLFLOW_VERSION,
            python_version=platform.python_version(),
            load_s=time.perf_counter() - started,
            activated=activated,
            pyfunc_only=presentable(why_pyfunc_only(self.model, self.contract)),
            writes=self._new_writes(),
        )

    def activate(self, request: ActivateRequest) -> ActivateReply:
        """Answer with compiled predictors from now on; where they can't be opened, as before."""
        try:
            files = verified(Path(request.compiled))
            self._predictor, report = open_tuned(
                self.model, self.contract, files, self._threads, self.engine_counts
            )
        except Exception as error:  # noqa: BLE001 - it is no loss: pyfunc goes on
            return ActivateReply(None, f"they can't be opened: {describe(error)}")
        return ActivateReply(report)

    def smoke(self, request: SmokeRequest) -> SmokeReply:
        """Predict on an example or on made-up rows, and find out whether it is row-wise."""
        rows = self._rows_to_try(request.incumbent_path)
        watched = trial.Watched(self.predict)
        answered = trial.try_to_answer(
            self.contract, watched, rows, any_rows=self._answers.any_rows
        )
        self._lone_s = watched.lone_s
        return SmokeReply(
            rows_from=presentable(answered.whose),
            rows=answered.rows,
            refusal=presentable(answered.refusal),
            row_wise=answered.row_wise,
            row_wise_why=presentable(answered.why),
            writes=self._new_writes(),
            example=rows.shown,
        )

    def scored_as(self, example: Call | None) -> AnswerForm | None:
        """Find out how MLflow writes the model's answers, if the example tells."""
        described = self.model.metadata.flavors.get("python_function", {})
        bounds = Bounds(0, FREE_BYTES)
        return form_of_answers(
            self.contract,
            str(described.get("loader_module")),
            self._predictor.predict,
            lambda body: self.scoring.answer(JSON, body, bounds).body,
            example,
        )

    def speed(self, request: SpeedRequest) -> SpeedReply:
        """Time calls on the same rows."""
        rows = self._rows_to_try(request.incumbent_path)
        timed = trial.time_calls(self.contract, self._predictor.predict, rows, self._lone_s)
        return SpeedReply(
            tuple(Timing(rows, seconds * 1000, runs) for rows, seconds, runs in timed)
        )

    def predict_small(self, call: Call) -> Predictions:
        """Answer a call, and learn from it what small ones take. Raise as `predict` does."""
        predictions = self.predict(call)
        self._bodies.chunk_size.note_call(predictions.took_s)
        return with_written_cells(predictions)

    def predict_traced(self, call: TracedCall) -> Predictions:
        """Answer a call as `predict_small` does, with its trace for what the model traces."""
        with as_parent(call.trace):
            return self.predict_small(call)

    def predict(self, call: Call) -> Predictions:
        """Answer a call. Raise ModelFailedError for whatever the model raises."""
        started = time.perf_counter()
        try:
            predictions = self._predictor.predict(call)
        except ServiceError:
            raise
        except BaseException as error:
            raise ModelFailedError(
                f"the model raised {describe(error)}", traceback.format_exc()
            ) from error
        taken = time.perf_counter() - started
        if predictions.non_finite and self._answers.non_finite_is_null:
            # What is no number is null in whatever is made of it; only this list makes it an error.
            return msgspec.structs.replace(predictions, took_s=taken, non_finite=[])
        return msgspec.structs.replace(predictions, took_s=taken)

    def _rows_to_try(self, incumbent_path: str) -> trial.Rows:
        incumbent = Path(incumbent_path) if incumbent_path else None
        return trial.rows_to_try(self.contract, self._path, incumbent)

    def _new_writes(self) -> Writes:
        """Tell what the model has changed beside its artifacts, once for what was told before."""
        if self._folder is None:
            return Writes()
        writes = told(self._folder.changes)
        if writes == self._told_writes:
            return Writes()
        self._told_writes = writes
        return Writes(writes, self._folder.has_reached_the_store)

    def take_chunk(self, chunk: BodyChunk) -> Nothing:
        """Keep a chunk of a body that is to be answered in chunks."""
        self._chunks.append(chunk.chunk)
        return Nothing()

    def predict_raw(self, request: RawRequest) -> RawReply | Steps:
        """Decode, answer and encode a whole body here, where its size holds up nobody."""
        if request.chunked:
            body = b"".join((*self._chunks, request.body))
            self._chunks.clear()
            request = msgspec.structs.replace(request, body=body)
        if request.chunked and request.codec not in SCORING:
            return stepwise_under(request.trace, self._bodies.answer_chunked(request))
        answer = self._score if request.codec in SCORING else self._bodies.answer
        with as_parent(request.trace):
            return answer(request)

    def _score(self, request: RawRequest) -> RawReply:
        """Have MLflow's own code answer a body of its protocol."""
        bounds = Bounds(len(request.body), request.max_decoded_bytes)
        scored = self.scoring.answer(SCORING[request.codec], request.body, bounds)
        form = None
        if request.wants_form and not self._has_tried_form:
            # Not before a caller speaks this protocol: it takes as long as some requests.
            self._has_tried_form = True
            # Whatever the model raises over it, MLflow's own code goes on answering.
            with suppress(Exception):
                form = self.scored_as(self._rows_to_try("").example)
        return RawReply(scored.rows, scored.body, None, scored.client_request_id, form)


def operations(_: bytes) -> CountingOperations:
    """Return what a worker can be asked for."""
    show_memory()
    worker = Worker()
    asked: Operations = {
        "load": (LoadRequest, worker.load),
        "smoke": (SmokeRequest, worker.smoke),
        "speed": (SpeedRequest, worker.speed),
        "activate": (ActivateRequest, worker.activate),
        "predict": (Call, worker.predict_small),
        "predict_traced": (TracedCall, worker.predict_traced),
        "take_chunk": (BodyChunk, worker.take_chunk),
        "predict_raw": (RawRequest, worker.predict_raw),
    }
    return CountingOperations(asked, worker.engine_counts.by_kind())
