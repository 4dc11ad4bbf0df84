"""What a body may become, in proportion to what was sent."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.arrow.request import ArrowRequests
from service.codecs.bounds import Bounds
from service.codecs.catalog import ARROW
from service.codecs.json.cells import with_written_cells
from service.codecs.json.reading_cost import ReadingCost, check_size
from service.codecs.rows_and_columns.codec import BY_COLUMNS, BY_ROWS, RowsAndColumns
from service.contracts.answer_size import (
    LOOP_VALUES,
    holds_much,
    is_wide,
    rows_within,
)
from service.contracts.choose import contract_for
from service.contracts.contract import Contract, Predictions
from service.core.errors import AnswerTooLargeError, BodyTooLargeError, ServiceError
from service.workers.inside.bodies import Bodies
from service.workers.messages import RawRequest
from tools.arrow_bodies import stream

MAX_BODY_BYTES = 33_554_432
MAX_DECODED_BYTES = 8 * MAX_BODY_BYTES


def contract(*kinds: str, required: bool = False) -> Contract:
    """Derive a contract of inputs of these types, c0 and so on."""
    inputs = [
        {"type": kind, "name": f"c{at}", "required": required} for at, kind in enumerate(kinds)
    ]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    return contract_for("some-model", signature, refuse_unknown=False)


def numbers(rows: int, width: int) -> Predictions:
    """Return answers of so many numbers a row, in one column."""
    column = np.zeros((rows, width)).tobytes()
    return Predictions(rows, ["y"], [column], ["float64"], [[width]], [])


def bombs() -> dict[str, bytes]:
    """Return small Arrow bodies of very many rows, by what makes them small."""
    rows = 3_000_000
    zeros = pa.array(np.zeros(rows))
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), ["w"])
    ends = pa.array([rows], pa.int32())
    return {
        "compressed": stream({"c0": zeros}, compression="zstd"),
        "unused": stream({"else": pa.nulls(rows)}),
        "nulls": stream({"c0": pa.nulls(rows)}),
        "dictionary": stream({"c0": word}, compression="zstd"),
        "runs": stream({"c0": pa.RunEndEncodedArray.from_arrays(ends, pa.array([1.0]))}),
        "empty lists": stream({"c0": pa.array([[]] * 600_000)}, compression="zstd"),
    }


@pytest.mark.parametrize(("name", "body"), bombs().items(), ids=bombs().keys())
@pytest.mark.parametrize("kind", ["double", "string"])
def test_a_small_arrow_body_is_no_large_request(name: str, body: bytes, kind: str) -> None:
    """It is refused before anything is decoded, and the model is not asked."""
    assert len(body) < 50_000, name

    def predict(_: Any) -> Predictions:
        raise AssertionError("the model was asked")

    subject = Bodies(contract(kind), predict)
    request = RawRequest(ARROW, ARROW, MAX_DECODED_BYTES, body=body)
    for answer in (subject.answer, lambda r: list(subject.answer_chunked(r))):
        with pytest.raises(ServiceError) as caught:
            answer(request)
        assert caught.value.code in {"body-too-large", "malformed-body", "contract-violation"}


def test_an_honest_arrow_body_is_taken() -> None:
    """A million numbers in a hundred columns, and one number 100,000 times, compressed."""
    names = [f"c{at}" for at in range(100)]
    wide = stream({name: np.random.default_rng(1).random(10_000) for name in names})
    repeated = stream({"c0": np.ones(100_000)}, compression="zstd")
    subject = ArrowRequests(contract(*["double"] * 100))
    for body, reader in ((wide, subject), (repeated, ArrowRequests(contract("double")))):
        bounds = Bounds(len(body), MAX_DECODED_BYTES)
        assert reader.decode(body, bounds.decoded_bytes, bounds.rows).rows >= 10_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[' + b",".join([b"{}"] * 1_200_000) + b"]}",
        b'{"columns":{"c0":[' + b",".join([b"0"] * 1_200_000) + b"]}}",
    ],
    ids=["rows", "columns"],
)
def test_a_json_body_of_too_many_rows_is_refused(body: bytes) -> None:
    """Rows of nothing, or numbers of one digit."""
    subject = Bodies(contract("double"), lambda _: numbers(1, 1))
    request = RawRequest(max_decoded_bytes=MAX_DECODED_BYTES, body=body)
    with pytest.raises(BodyTooLargeError, match="send fewer"):
        subject.answer(request)


def test_rows_of_nothing_do_not_become_many_values() -> None:
    """400,000 of them, of a thousand optional inputs, would hold gigabytes."""
    body = b'{"instances":[' + b",".join([b"{}"] * 400_000) + b"]}"
    with pytest.raises(BodyTooLargeError, match="400000000 values"):
        check_size(body, 1_000, Bounds(len(body), MAX_DECODED_BYTES))


def test_an_answer_is_bounded_by_what_was_sent() -> None:
    """A wide embedding of a short text is given; gigabytes for some kilobytes are not."""
    bounds = Bounds(8_000, MAX_DECODED_BYTES)
    codec = RowsAndColumns(contract("string"))
    bounds.check_answer(codec.least_bytes(numbers(1_000, 768), BY_ROWS))
    with pytest.raises(AnswerTooLargeError, match="send fewer rows"):
        bounds.check_answer(codec.least_bytes(numbers(30_000, 768), BY_ROWS))
    names = Predictions(10**6, ["n" * 100], [np.zeros(10**6).tobytes()], ["float64"], [[]], [])
    bounds.check_answer(codec.least_bytes(names, BY_COLUMNS))
    with pytest.raises(AnswerTooLargeError):
        bounds.check_answer(codec.least_bytes(names, BY_ROWS))


def test_what_is_read_on_the_loop_goes_by_values() -> None:
    """Rows of nothing and numbers of one digit are many in few bytes; usual rows are not."""
    twelve = ReadingCost(contract(*["double"] * 12))
    required = ReadingCost(contract(*["double"] * 12, required=True))
    row = b"{" + b",".join(b'"c%d":1.2345' % at for at in range(12)) + b"}"

    def rows_of(row: bytes, count: int) -> bytes:
        return b'{"instances":[' + b",".join([row] * count) + b"]}"

    assert twelve.is_high(rows_of(b"{}", 2_000))
    assert not twelve.is_high(rows_of(b"{}", 1_000))
    assert not required.is_high(rows_of(row, 1_000))
    assert required.is_high(rows_of(row, 2_000))
    # What a text has within is no value: rows that must have names are few for their length.
    texts = ReadingCost(contract("string", required=True))
    assert not texts.is_high(rows_of(b'{"c0":"%b"}' % (b",{" * 50), 1_000))
    ones = b'{"columns":{"c0":[' + b",".join([b"0"] * 2 * LOOP_VALUES) + b"]}}"
    assert required.is_high(ones)


def test_what_is_written_on_the_loop_goes_by_values() -> None:
    """Whether they are buffers, lists, texts or in lists of lists."""

    def lists(column: list[Any]) -> Predictions:
        return Predictions(len(column), ["y"], [column], [""], [[]], [])

    assert is_wide(numbers(1_000, 768), 0, 1_000)
    assert not is_wide(numbers(1_000, 768), 980, 1_000)
    assert not holds_much(numbers(20, 768))
    for much in (
        numbers(1_000, 768),
        lists([[[1.0] * 100] * 10] * 100),
        lists([[]] * 99 + [[[]] * 20_000]),
        lists([{"a": [1] * 1_000}] * 100),
        lists([{"a" * 20_000: 1}] * 100),
        lists(["x" * 20_000] * 100),
        lists([b"x" * 2_000_000]),
    ):
        assert holds_much(much)
    assert not holds_much(lists([1.0] * 1_000))
    assert is_wide(with_written_cells(lists([["x" * 5_000_000]])), 0, 1)
    assert not is_wide(with_written_cells(lists([["x" * 3_000_000], ["y" * 3_000_000]])), 0, 1)
    names = Predictions(1_000, ["n" * 2_000], [[1] * 1_000], [""], [[]], [])
    assert is_wide(names, 0, 1_000)
    assert rows_within(numbers(1_000, 768), 4_096) == 5
    assert rows_within(numbers(1_000, 0), 4_096) == 4_096_000
