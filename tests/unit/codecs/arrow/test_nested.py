"""Lists, structs, maps and whatever else a signature's nested types take of Arrow."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from service.codecs.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import BodyTooLargeError, ContractViolationError
from tests.support.envelopes import decoded
from tools.arrow_bodies import stream

LISTS = {"type": "array", "items": {"type": "long"}}
STRUCTS = {
    "type": "object",
    "properties": {
        "a": {"type": "double", "required": True},
        "when": {"type": "datetime", "required": False},
    },
}
MAPS = {"type": "map", "values": {"type": "double"}}
ANY = {"type": "any"}
VECTORS = {"type": "sparkml_vector"}


def contract(spec: dict[str, Any], *, required: bool = True) -> Contract:
    """Derive the contract of one input."""
    inputs = [{"name": "x", "required": required, **spec}]
    return contract_for("m", {"inputs": inputs, "outputs": None}, refuse_unknown=False)


def decode(
    spec: dict[str, Any], column: Any, *, required: bool = True, limit: int = 100_000
) -> list[Any]:
    """Return what a column becomes."""
    subject = ArrowRequests(contract(spec, required=required))
    (values,) = subject.decode(stream({"x": column}), limit).columns
    assert isinstance(values, list)
    return values


@pytest.mark.parametrize(
    ("spec", "kind", "given"),
    [
        (LISTS, pa.list_(pa.int64()), [[1, 2], []]),
        (LISTS, pa.large_list(pa.int8()), [[1, 2], []]),
        (LISTS, pa.list_(pa.int32(), 2), [[1, 2], [3, 4]]),
        (STRUCTS, pa.struct({"a": pa.float64()}), [{"a": 1.5}]),
        (STRUCTS, pa.struct({"a": pa.int64(), "when": pa.string()}), [{"a": 1, "when": None}]),
        (MAPS, pa.map_(pa.string(), pa.float64()), [{"k": 1.5}, {}]),
        (MAPS, pa.struct({"k": pa.float64()}), [{"k": 1.5}]),
        (VECTORS, pa.list_(pa.float32()), [[0.5, 1.5]]),
        (ANY, pa.string(), ["a", "b"]),
        (ANY, pa.list_(pa.struct({"b": pa.bool_()})), [[{"b": True}, {"b": None}]]),
    ],
)
def test_nested_values_are_those_of_json(
    spec: dict[str, Any], kind: pa.DataType, given: list[Any]
) -> None:
    """Every form that Arrow has for them gives the column that rows give."""
    as_pairs = [list(value.items()) for value in given] if pa.types.is_map(kind) else given
    body = json.dumps({"instances": [{"x": value} for value in given]}).encode()
    assert decode(spec, pa.array(as_pairs, kind)) == decoded(contract(spec), body).columns[0]


def test_moments_within_are_text_as_from_json() -> None:
    """RFC 3339 without a zone, in UTC."""
    column = pa.array([{"a": 1.0, "when": datetime(2024, 2, 29, 12, tzinfo=UTC)}])
    assert decode(STRUCTS, column)[0]["when"] == "2024-02-29T12:00:00"


@pytest.mark.parametrize(
    ("spec", "given", "path", "row"),
    [
        (LISTS, [[1], [2, None]], "columns.x[1][1]", 1),
        (LISTS, [[1], None], "columns.x[1]", 1),
        (LISTS, [["1"]], "columns.x[0][0]", 0),
        (STRUCTS, [{"a": 1.0}, {"a": None}], "columns.x[1].a", 1),
        (STRUCTS, [{"b": 1.0}], "columns.x[0].a", 0),
        (VECTORS, [[1.0], [0.5, float("nan")]], "columns.x[1]", 1),
        (ANY, [1.0, float("inf")], "columns.x[1]", 1),
    ],
)
def test_a_fault_within_is_told_with_its_place(
    spec: dict[str, Any], given: list[Any], path: str, row: int
) -> None:
    """The row, and the way from there."""
    with pytest.raises(ContractViolationError) as caught:
        decode(spec, pa.array(given))
    assert (caught.value.path, caught.value.row) == (path, row)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.null(), 2),
        pa.list_(pa.struct([])),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
        pa.list_(pa.string_view()),
        pa.list_view(pa.int64()),
        pa.struct({"a": pa.decimal128(5, 2)}),
        pa.int64(),
    ],
)
def test_types_that_make_much_of_little_are_refused(kind: pa.DataType) -> None:
    """As are those that JSON has no form for, and plain ones where lists are wanted."""
    with pytest.raises(ContractViolationError) as caught:
        decode(LISTS, pa.array([None, None], kind))
    assert caught.value.path.startswith("columns.x")


def test_optional_ones_may_be_null_or_not_there() -> None:
    """One by one, or the whole column."""
    assert decode(LISTS, pa.array([[1], None]), required=False) == [[1], None]
    assert decode(LISTS, pa.nulls(2), required=False) == [None, None]


def test_values_within_are_counted() -> None:
    """Each takes the place of a reference, however few bits it had."""
    column = pa.array([[True] * 1_000] * 10)
    booleans = {"type": "array", "items": {"type": "boolean"}}
    assert len(decode(booleans, column)) == 10
    with pytest.raises(BodyTooLargeError):
        decode(booleans, column, limit=80_000)


def test_two_values_of_one_key_are_refused() -> None:
    """A map in JSON has each key once."""
    column = pa.array([[("k", 1.0), ("k", 2.0)]], pa.map_(pa.string(), pa.float64()))
    with pytest.raises(ContractViolationError):
        decode(MAPS, column)
