"""A whole stream as a request: its names, its params, its end, its size."""

import json
from typing import Any

import pyarrow as pa
import pytest

from service.codecs.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError
from tools.arrow_bodies import stream

PARAMS = [{"name": "top", "type": "long", "default": 1, "shape": None}]
LIMIT = 1_000_000


def contract(*, refuse: bool = False, params: Any = PARAMS) -> Contract:
    """Derive a contract of a required and an optional input."""
    inputs = [
        {"type": "string", "name": "day", "required": True},
        {"type": "double", "name": "share", "required": False},
    ]
    signature = {"inputs": inputs, "outputs": None, "params": params}
    return contract_for("some-model", signature, refuse_unknown=refuse)


def refused(subject: Contract, body: bytes) -> ContractViolationError:
    """Return the error with which a stream is refused."""
    with pytest.raises(ContractViolationError) as caught:
        ArrowRequests(subject).decode(body, LIMIT)
    return caught.value


def test_params_stand_in_the_schemas_metadata() -> None:
    """Under one key, as JSON; the defaults are filled in as for JSON."""
    subject = contract()
    for given, filled in ((None, {"top": 1}), ({"top": 3}, {"top": 3}), ({}, {"top": 1})):
        metadata = {} if given is None else {"hotswap.params": json.dumps(given), "pandas": "{}"}
        call = ArrowRequests(subject).decode(stream({"day": ["a"]}, metadata=metadata), LIMIT)
        assert call.params == filled
    body = stream({"day": ["a"]}, metadata={"hotswap.params": '{"top": "3"}'})
    assert refused(subject, body).path == "params.top"
    body = stream({"day": ["a"]}, metadata={"hotswap.params": "[]"})
    assert refused(subject, body).path == "params"
    body = stream({"day": ["a"]}, metadata={"hotswap.params": '{"top": '})
    with pytest.raises(MalformedBodyError, match=r"hotswap\.params"):
        ArrowRequests(subject).decode(body, LIMIT)


def test_params_that_a_model_does_not_have_follow_unknown_fields() -> None:
    """Ignored or refused, as in JSON."""
    body = stream({"day": ["a"]}, metadata={"hotswap.params": '{"top": 3}'})
    assert ArrowRequests(contract(params=None)).decode(body, LIMIT).params is None
    assert refused(contract(params=None, refuse=True), body).path == "params"
    body = stream({"day": ["a"]}, metadata={"hotswap.params": '{"new": 3}'})
    assert refused(contract(refuse=True), body).path == "params.new"


def test_unknown_columns_are_ignored_unless_they_are_to_be_refused() -> None:
    """Whatever they hold; other metadata is nobody's business."""
    body = stream({"new": [[1]], "day": ["a"]}, metadata={"else": "x"})
    assert ArrowRequests(contract()).decode(body, LIMIT).rows == 1
    error = refused(contract(refuse=True), body)
    assert (error.path, error.row) == ("columns.new", None)


def test_a_column_that_stands_there_twice_is_refused() -> None:
    """Nobody could say which one counts."""
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["day", "day"])
    assert refused(contract(), stream(table)).path == "columns.day"


def test_a_required_column_must_be_there() -> None:
    """An optional one need not."""
    error = refused(contract(), stream({"share": [0.5]}))
    assert (error.path, error.got) == ("columns.day", "nothing")


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_stream_of_batches_is_one_request(rows: int) -> None:
    """Of at least one row."""
    body = stream({"day": pa.array(["a"] * rows, pa.string())}, batch_rows=2)
    if rows:
        assert ArrowRequests(contract()).decode(body, LIMIT).rows == rows
    else:
        assert refused(contract(), body).path == ""


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_a_stream_is_whole_or_malformed(compression: str | None) -> None:
    """Cut anywhere, it is refused; with anything behind its end, too."""
    body = stream({"day": ["a", "b"] * 50}, compression=compression, batch_rows=50)
    subject = ArrowRequests(contract())
    assert subject.decode(body, LIMIT).rows == 100
    for wrong in (*(body[:cut] for cut in range(len(body))), body + b"\x00", body + body):
        with pytest.raises(MalformedBodyError):
            subject.decode(wrong, LIMIT)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_streams_are_taken_up_to_a_size(compression: str) -> None:
    """What they say they will be is believed before it is made, and never exceeded."""
    body = stream({"day": ["a"], "new": ["\0" * 900_000]}, compression=compression)
    assert len(body) < 10_000
    assert ArrowRequests(contract()).decode(body, LIMIT).rows == 1
    with pytest.raises(BodyTooLargeError, match="8 x MAX_BODY_BYTES"):
        ArrowRequests(contract()).decode(body, 899_000)


def test_dictionaries_are_counted_where_they_are_compressed() -> None:
    """They come in messages of their own."""
    words = pa.array(["\0" * 900_000]).dictionary_encode()
    body = stream({"day": ["a"], "new": words}, compression="zstd")
    with pytest.raises(BodyTooLargeError):
        ArrowRequests(contract()).decode(body, 899_000)
