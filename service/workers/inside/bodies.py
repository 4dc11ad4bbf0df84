"""Answer whole bodies in a worker: decode, predict, encode. In one go, or in steps.

In steps, a body of ten thousand rows does not hold up a request for one: between two of them the
worker answers another call. Rows are then read, answered and written some at a time, which only a
row-wise model allows.
"""

import functools
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from service.codecs.json_chunks import in_pieces
from service.codecs.media import Media
from service.contracts.bounds import Bounds, rows_within
from service.contracts.contract import Call, Contract, Form, Predictions
from service.contracts.filling import merge_pieces
from service.contracts.merge import join, part
from service.core.errors import ServiceError
from service.processes.inside.late_imports import late_import
from service.workers.inside.chunk_size import ChunkSize
from service.workers.inside.late_modules import ARROW_ANSWER, ARROW_REQUEST
from service.workers.messages import RawReply, RawRequest

if TYPE_CHECKING:
    from service.codecs.arrow.request import ArrowRequests

Steps = Generator[None, None, RawReply]

_ENCODED_VALUES = 4096
"""At a time: some tenths of a millisecond."""


class Bodies:
    """Answers the bodies of one contract by `predict`."""

    def __init__(self, contract: Contract, predict: Callable[[Call], Predictions]) -> None:
        self._contract = contract
        self._predict = predict
        self.chunk_size = ChunkSize()
        """How many rows are answered at a time."""

    @functools.cached_property
    def _arrow_requests(self) -> "ArrowRequests":
        requests: ArrowRequests = late_import(ARROW_REQUEST).ArrowRequests(self._contract)
        return requests

    def answer(self, request: RawRequest) -> RawReply:
        """Answer in one go. Raise what decoding and predicting raise."""
        call, form = self._read(request)
        predictions = self._predict(call)
        if predictions.non_finite:
            return _not_finite(predictions)
        _check_answer(request, predictions, form)
        return RawReply(predictions.rows, self._encode(request, predictions, form), None)

    def answer_chunked(self, request: RawRequest) -> Steps:
        """Answer as `answer` does, and yield between steps."""
        call, form = yield from self._read_chunked(request)
        predictions = yield from self._predict_chunked(call)
        if predictions.non_finite:
            return _not_finite(predictions)
        _check_answer(request, predictions, form)
        yield
        if request.answer is Media.ARROW or form is not Form.ROWS:
            encoded = self._encode(request, predictions, form)
        else:
            encoded = yield from self._rows_chunked(predictions)
        return RawReply(predictions.rows, encoded, None)

    def _read(self, request: RawRequest) -> tuple[Call, Form]:
        bounds = _bounds(request)
        if request.kind is Media.ARROW:
            call = self._arrow_requests.decode(request.body, bounds.decoded_bytes, bounds.rows)
            return call, Form.COLUMNS
        bounds.check_json(request.body, len(self._contract.inputs))
        call, form = self._contract.read(request.body)
        bounds.check_call(call)
        return call, form

    def _read_chunked(self, request: RawRequest) -> Generator[None, None, tuple[Call, Form]]:
        """Read JSON rows some at a time; whatever that does not suit, in one go."""
        if request.kind is Media.ARROW:
            return self._read(request)
        _bounds(request).check_json(request.body, len(self._contract.inputs))
        calls: list[Call] = []
        try:
            for chunk in in_pieces(request.body):
                calls.append(self._contract.decode(chunk))
                yield
        except (ValueError, ServiceError):
            # What is wrong, and where, is told by what reads all of it.
            calls = []
        if not calls:
            return self._read(request)
        return merge_pieces(self._contract.inputs, calls), Form.ROWS

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

    def _encode(self, request: RawRequest, predictions: Predictions, form: Form) -> bytes:
        if request.answer is Media.ARROW:
            stream: bytes = late_import(ARROW_ANSWER).encode_stream(
                self._contract, predictions, request.metadata
            )
            return stream
        return self._contract.encode(predictions, 0, predictions.rows, form)

    def _rows_chunked(self, predictions: Predictions) -> Generator[None, None, bytes]:
        """Encode rows some at a time: the arrays' brackets are dropped, and one is put around."""
        parts: list[bytes] = []
        rows = rows_within(predictions, _ENCODED_VALUES)
        for start in range(0, predictions.rows, rows):
            if parts:
                yield
            stop = min(start + rows, predictions.rows)
            parts.append(self._contract.encode(predictions, start, stop)[1:-1])
        return b"[" + b",".join(parts) + b"]"


def _bounds(request: RawRequest) -> Bounds:
    return Bounds(len(request.body), request.max_decoded_bytes)


def _check_answer(request: RawRequest, predictions: Predictions, form: Form) -> None:
    named_rows = request.answer is Media.JSON and form is Form.ROWS
    _bounds(request).check_answer(predictions, named_rows=named_rows)


def _not_finite(predictions: Predictions) -> RawReply:
    return RawReply(predictions.rows, b"", predictions.non_finite[0])
