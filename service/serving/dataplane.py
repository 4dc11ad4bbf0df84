"""One prediction request, whatever protocol it came by."""

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from service.codecs.media import Media
from service.contracts.contract import Form
from service.contracts.encoding import encode_in_pieces
from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    NonFinitePredictionError,
    OverloadedError,
    RequestTimeoutError,
    ServiceError,
)
from service.core.text import presentable
from service.core.versions import ModelVersion
from service.serving.batching.request_queue import Caller
from service.serving.failed_request import FailedRequest, raw_request
from service.serving.model import LoadedModel
from service.serving.routes import Routes
from service.workers.messages import RawReply

EXPANSION = 8
"""How many times MAX_BODY_BYTES an Arrow stream may have once it is decoded."""

MODEL_FAULTS = (ModelFailedError, ChildLostError, RequestTimeoutError, NonFinitePredictionError)
"""What a request can meet that speaks against the version.

What was refused or expired before a worker had it (OverloadedError, QueueTimeoutError) does not.
"""

_UNWRITABLE = (TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Prediction(msgspec.Struct, frozen=True):
    """The answers to one request, and who gave them.

    `predictions` is a JSON value in the form that the request had, or a whole Arrow stream.
    """

    predictions: bytes
    rows: int
    version: ModelVersion
    kind: Media = Media.JSON


class DataPlane:
    """What every protocol calls, for whichever deployment's versions."""

    def __init__(self, raw_body_bytes: int, max_body_bytes: int) -> None:
        self._raw_body_bytes = raw_body_bytes
        self._max_decoded_bytes = EXPANSION * max_body_bytes
        self._encoding = CapacityLimiter(2)

    def refusal(self, routes: Routes, body_bytes: int) -> OverloadedError | None:
        """Say why a request with a body of this size would be refused, None where it would not.

        Ask it with nothing but a request's head: what is refused need not be read. It costs about
        a microsecond; see `Batcher.refusal`.
        """
        model = routes.current
        if model is None:
            return None
        refusal = model.batcher.refusal(body_bytes, is_body=body_bytes > self._raw_body_bytes)
        if refusal is not None:
            refusal.answered_by = model.version
        return refusal

    async def infer(
        self,
        routes: Routes,
        body: bytes,
        kind: Media = Media.JSON,
        answer: Media = Media.JSON,
        caller: Caller | None = None,
    ) -> Prediction:
        """Answer a body of one kind by the version that serves when it comes.

        One whose `caller` has gone before a worker has it is dropped.

        Everything happens inside one lease, so contract, model and the version that is named
        always belong together. Raise what `Contract.decode` and `Batcher.submit` raise, with the
        version in `answered_by`, and NoVersionError.
        """
        with routes.lease() as model:
            try:
                prediction = await self._infer(model, body, kind, answer, caller)
            except ServiceError as error:
                error.answered_by = model.version
                if isinstance(error, MODEL_FAULTS):
                    self._note_failure(model, body, kind, answer, error)
                raise
            model.answered += 1
            return prediction

    def _note_failure(
        self, model: LoadedModel, body: bytes, kind: Media, answer: Media, error: ServiceError
    ) -> None:
        limits = (self._raw_body_bytes, self._max_decoded_bytes)
        model.note_failure(FailedRequest(body, kind, answer, error, *limits))

    async def _infer(
        self,
        model: LoadedModel,
        body: bytes,
        kind: Media,
        wanted: Media,
        caller: Caller | None,
    ) -> Prediction:
        in_arrow = kind is Media.ARROW or wanted is Media.ARROW
        large = len(body) > self._raw_body_bytes or model.reading_cost.is_high(body)
        if in_arrow or large:
            # Decoding it here would hold up everyone else; the worker has the same contract.
            # Arrow is spoken in workers alone.
            request = raw_request(model.version, body, kind, wanted, self._max_decoded_bytes)
            answer, form = await model.batcher.submit(request, len(body), caller), Form.ROWS
        else:
            call, form = model.contract.read(body)
            answer = await model.batcher.submit(call, len(body), caller)
        if isinstance(answer, RawReply):
            return Prediction(answer.predictions, answer.rows, model.version, wanted)
        share = (answer.predictions, answer.start, answer.stop, form)
        rows = answer.stop - answer.start
        try:
            if not answer.is_wide:
                encoded = model.contract.encode(*share)
            else:
                encoded = await anyio.to_thread.run_sync(
                    encode_in_pieces, *share, limiter=self._encoding
                )
        except _UNWRITABLE as error:
            # A worker sends no such thing, unless the model has changed what sends it.
            raise ModelFailedError(
                presentable(f"the model's answer can't be written as JSON: {error}")
            ) from error
        return Prediction(encoded, rows, model.version)
