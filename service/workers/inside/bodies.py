"""Answer whole bodies in a worker: decode, predict, encode. In one go, or in chunks.

In chunks, a body of ten thousand rows does not hold up a request for one: between two of them the
worker answers another call. Rows are then read, answered and written some at a time, which only a
row-wise model allows.
"""

from collections.abc import Callable, Generator

from service.codecs.bounds import Bounds
from service.codecs.catalog import WorkerCodecs
from service.contracts.contract import Call, Contract, Predictions
from service.contracts.merge import join, part
from service.processes.inside.late_imports import late_import
from service.workers.inside.chunk_size import ChunkSize
from service.workers.messages import RawReply, RawRequest

Steps = Generator[None, None, RawReply]


class Bodies:
    """Answers the bodies of one contract by `predict`."""

    def __init__(self, contract: Contract, predict: Callable[[Call], Predictions]) -> None:
        self._codecs = WorkerCodecs(contract, late_import)
        self._predict = predict
        self.chunk_size = ChunkSize()
        """How many rows are answered at a time."""

    def answer(self, request: RawRequest) -> RawReply:
        """Answer in one go. Raise what decoding and predicting raise."""
        bounds = _bounds(request)
        call, wanted = self._codecs[request.codec].decode(request.body, bounds)
        predictions = self._predict(call)
        if predictions.non_finite:
            return _not_finite(predictions)
        codec = self._codecs[request.answer]
        bounds.check_answer(codec.least_bytes(predictions, wanted))
        body = codec.encode(predictions, 0, predictions.rows, wanted, request.names)
        return RawReply(predictions.rows, body, None)

    def answer_chunked(self, request: RawRequest) -> Steps:
        """Answer as `answer` does, and yield between chunks."""
        bounds = _bounds(request)
        reader = self._codecs[request.codec]
        call, wanted = yield from reader.decode_chunked(request.body, bounds)
        predictions = yield from self._predict_chunked(call)
        if predictions.non_finite:
            return _not_finite(predictions)
        codec = self._codecs[request.answer]
        bounds.check_answer(codec.least_bytes(predictions, wanted))
        yield
        body = yield from codec.encode_chunked(
            predictions, 0, predictions.rows, wanted, request.names
        )
        return RawReply(predictions.rows, body, None)

    def _predict_chunked(self, call: Call) -> Generator[None, None, Predictions]:
        answers: list[Predictions] = []
        start = 0
        while start < call.rows:
            if answers:
                yield
            some = part(call, start, min(start + self.chunk_size.rows, call.rows))
            answers.append(self._predict(some))
            self.chunk_size.note_rows(some.rows, answers[-1].took_s)
            start += some.rows
        whole = join(answers)
        return self._predict(call) if whole is None else whole


def _bounds(request: RawRequest) -> Bounds:
    return Bounds(len(request.body), request.max_decoded_bytes)


def _not_finite(predictions: Predictions) -> RawReply:
    return RawReply(predictions.rows, b"", predictions.non_finite[0])
