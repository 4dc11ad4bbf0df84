"""Whole bodies, answered immediately and in steps."""

import json
import re
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from service.codecs.catalog import ARROW, ROWS_AND_COLUMNS, names
from service.codecs.json import encoding
from service.codecs.rows_and_columns import chunks
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Predictions
from service.core.errors import ContractViolationError, MalformedBodyError, ModelFailedError
from service.predictors.outputs import RowCountError, to_predictions
from service.workers.inside.bodies import Bodies
from service.workers.messages import RawReply, RawRequest
from tests.support.envelopes import decoded
from tools.arrow_bodies import stream

SIGNATURE = {
    "inputs": json.dumps(
        [
            {"type": "double", "name": "a", "required": True},
            {"type": "string", "name": "b", "required": False},
        ]
    ),
    "outputs": json.dumps([{"type": "double", "name": "y", "required": True}]),
    "params": None,
}
ROWS = [{"a": float(number), "b": f"row {number}"} for number in range(100)]
JSON_BODY = json.dumps({"instances": ROWS}).encode()
COLUMNS_BODY = json.dumps({"columns": {"a": [row["a"] for row in ROWS]}}).encode()
ARROW_BODY = stream(pa.table({"a": [row["a"] for row in ROWS]}))
LIMIT = 10_000_000


class Model:
    """Answers each row by itself plus 0.5; `seen` has how many rows it was asked for together."""

    def __init__(self, *, raising: float = -1.0, not_finite: float = -1.0) -> None:
        self.seen: list[int] = []
        self._raising = raising
        self._not_finite = not_finite
        self.types = ["<f8"]
        """Of its answers, in turn."""

    def predict(self, call: Call) -> Predictions:
        """Answer every row."""
        column = call.columns[0]
        assert isinstance(column, bytes)
        values = np.frombuffer(column, "<f8")
        if self._raising in values:
            raise ModelFailedError("the model raised")
        dtype = self.types[len(self.seen) % len(self.types)]
        self.seen.append(call.rows)
        answers = (values + 0.5).astype(dtype)
        wrong = np.flatnonzero(values == self._not_finite).tolist()
        return Predictions(call.rows, ["y"], [answers.tobytes()], [dtype], [[]], wrong, 0.001)


def both(model: Model, request: RawRequest) -> tuple[RawReply, RawReply, int]:
    """Answer immediately and in steps; return both answers and how many steps there were."""
    contract = contract_for("any", SIGNATURE, refuse_unknown=False)
    bodies = Bodies(contract, model.predict)
    bodies.chunk_size.note_call(2e-5)
    bodies.chunk_size.rows = 16
    whole = bodies.answer(request)
    model.seen.clear()
    answer, steps = finished(bodies, request)
    return whole, answer, steps


def finished(bodies: Bodies, request: RawRequest) -> tuple[RawReply, int]:
    """Go on to the end."""
    going = bodies.answer_chunked(request)
    steps = 0
    while True:
        try:
            next(going)
        except StopIteration as end:
            return end.value, steps
        steps += 1


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write few rows at a time."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 500)
    monkeypatch.setattr(encoding, "CHUNK_VALUES", 30)


@pytest.mark.parametrize("answer", [ROWS_AND_COLUMNS, ARROW])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ROWS_AND_COLUMNS, JSON_BODY),
        (ROWS_AND_COLUMNS, JSON_BODY[:-1] + b', "other": 1}'),
        (ROWS_AND_COLUMNS, COLUMNS_BODY),
        (ARROW, ARROW_BODY),
    ],
    ids=["rows", "rows and more", "columns", "arrow"],
)
def test_a_body_gets_the_same_answer_chunked(kind: str, body: bytes, answer: str) -> None:
    """Byte by byte, and the model has never more rows than a step's."""
    model = Model()
    whole, stepped, steps = both(model, RawRequest(kind, answer, LIMIT, body=body))
    assert stepped == whole
    assert whole.rows == len(ROWS)
    assert sum(model.seen) == len(ROWS)
    assert max(model.seen) <= 16
    assert steps >= len(model.seen)


def test_rows_are_read_and_written_in_steps_too() -> None:
    """Not only answered."""
    model = Model()
    _, _, steps = both(model, RawRequest(body=JSON_BODY))
    read, written = len(JSON_BODY) // 600, len(ROWS) // 30
    assert steps >= read + len(model.seen) + written


@pytest.mark.parametrize(
    ("body", "error", "path"),
    [
        (JSON_BODY.replace(b"77.0", b'"77"'), ContractViolationError, "instances[77].a"),
        (JSON_BODY[:-9], MalformedBodyError, None),
        (b'{"instances": []}', ContractViolationError, "instances"),
    ],
    ids=["a wrong value", "cut off", "no rows"],
)
def test_what_is_wrong_is_told_as_it_would_be_at_once(
    body: bytes, error: type[Exception], path: str | None
) -> None:
    """With the row as the whole body counts it."""
    contract = contract_for("any", SIGNATURE, refuse_unknown=False)
    bodies = Bodies(contract, Model().predict)
    told: list[Any] = []
    for ask in (bodies.answer, lambda request: finished(bodies, request)):
        with pytest.raises(error) as raised:
            ask(RawRequest(body=body))
        told.append((str(raised.value), getattr(raised.value, "path", None)))
    assert told[0] == told[1]
    assert told[0][1] == path


def test_the_first_row_that_is_not_finite_is_told() -> None:
    """As the whole body counts it."""
    whole, stepped, _ = both(Model(not_finite=70.0), RawRequest(body=JSON_BODY))
    assert stepped == whole == RawReply(len(ROWS), b"", 70)


def test_what_the_model_raises_is_raised() -> None:
    """Whichever step it comes from."""
    bodies = Bodies(contract_for("any", SIGNATURE, refuse_unknown=False), Model(raising=70).predict)
    with pytest.raises(ModelFailedError):
        finished(bodies, RawRequest(body=JSON_BODY))


def test_a_model_whose_answers_change_their_type_is_asked_for_all_rows_at_once() -> None:
    """Steps must not show in an answer."""
    model = Model()
    model.types = ["<f8", "<i8"]
    contract = contract_for("any", SIGNATURE, refuse_unknown=False)
    bodies = Bodies(contract, model.predict)
    bodies.chunk_size.note_call(2e-5)
    bodies.chunk_size.rows = 50
    stepped, _ = finished(bodies, RawRequest(body=JSON_BODY))
    assert model.seen[-1] == len(ROWS)
    answers = [row["y"] for row in msgspec.json.decode(stepped.body)["predictions"]]
    assert answers == [number + 0.5 for number in range(len(ROWS))]


@pytest.mark.parametrize("answered", [0, 99, 101])
def test_another_number_of_rows_is_refused_as_it_is_of_a_call(answered: int) -> None:
    """In each form of body and of answer, by one sentence, in the server and in the worker."""
    contract = contract_for("any", SIGNATURE, refuse_unknown=False)

    def predict(call: Call) -> Predictions:
        return to_predictions(contract, np.zeros(answered), call.rows)

    bodies = Bodies(contract, predict)
    bodies.chunk_size.rows = len(ROWS)
    with pytest.raises(RowCountError) as refused:
        predict(decoded(contract, JSON_BODY))
    for kind, body in (
        (ROWS_AND_COLUMNS, JSON_BODY),
        (ROWS_AND_COLUMNS, COLUMNS_BODY),
        (ARROW, ARROW_BODY),
    ):
        for answer in names():
            request = RawRequest(kind, answer, LIMIT, body=body)
            for ask in (bodies.answer, lambda request: finished(bodies, request)):
                with pytest.raises(RowCountError, match=re.escape(str(refused.value))):
                    ask(request)
