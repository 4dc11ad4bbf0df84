"""One prediction request, whatever protocol it came by."""

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
)
from service.core.versions import ModelVersion
from service.runtimes.messages import RawReply
from service.serving.model import LoadedModel
from service.serving.slot import Slot

MODEL_FAULTS = (ModelFailedError, ChildLostError, RequestTimeoutError, NonFinitePredictionError)
"""What a request can meet that speaks against the version, and not against the caller."""

_ENCODED_ON_LOOP_ROWS = 1_000
"""More rows than this are encoded in a thread: a thousand take about a millisecond."""


class Prediction(msgspec.Struct, frozen=True):
    """The answers to one request: a JSON array with an object a row, and who gave them."""

    predictions: bytes
    rows: int
    version: ModelVersion


class DataPlane:
    """What every protocol calls."""

    def __init__(self, slot: Slot, raw_body_bytes: int) -> None:
        self._slot = slot
        self._raw_body_bytes = raw_body_bytes
        self._encoding = CapacityLimiter(2)

    async def infer(self, body: bytes) -> Prediction:
        """Answer a JSON body by the version that serves when it comes.

        Everything happens inside one lease, so contract, model and the version that is named
        always belong together. Raise what `Contract.decode` and `Batcher.submit` raise, with the
        version in `answered_by`, and NoVersionError.
        """
        with self._slot.lease() as model:
            try:
                prediction = await self._infer(model, body)
            except ServiceError as error:
                error.answered_by = model.version
                model.failed += isinstance(error, MODEL_FAULTS)
                raise
            model.answered += 1
            return prediction

    async def _infer(self, model: LoadedModel, body: bytes) -> Prediction:
        if len(body) > self._raw_body_bytes:
            # Decoding it here would hold up everyone else; the worker has the same contract.
            answer = await model.batcher.submit(body)
        else:
            answer = await model.batcher.submit(model.contract.decode(body))
        if isinstance(answer, RawReply):
            return Prediction(answer.predictions, answer.rows, model.version)
        share = (answer.predictions, answer.start, answer.stop)
        rows = answer.stop - answer.start
        if rows <= _ENCODED_ON_LOOP_ROWS:
            encoded = model.contract.encode(*share)
        else:
            encoded = await anyio.to_thread.run_sync(
                model.contract.encode, *share, limiter=self._encoding
            )
        return Prediction(encoded, rows, model.version)
