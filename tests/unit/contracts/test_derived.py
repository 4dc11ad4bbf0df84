"""What a contract that is read off a signature takes and refuses."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Filled, Layout
from service.core.errors import ContractViolationError, MalformedBodyError
from tests.support.envelopes import decoded


def column(kind: str, name: str | None, *, required: bool = True, **more: Any) -> dict[str, Any]:
    """Write a ColSpec as MLflow does."""
    named = {} if name is None else {"name": name}
    return {"type": kind, **named, "required": required, **more}


def tensor(dtype: str, shape: list[int], name: str | None = None) -> dict[str, Any]:
    """Write a TensorSpec as MLflow does."""
    named = {} if name is None else {"name": name}
    return {**named, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


def contract(
    *inputs: dict[str, Any], params: list[dict[str, Any]] | None = None, refuse: bool = False
) -> Contract:
    """Derive the contract of some model."""
    signature = {
        "inputs": json.dumps(inputs),
        "outputs": None,
        "params": json.dumps(params) if params else None,
    }
    return contract_for("some-model", signature, refuse_unknown=refuse)


def decode(subject: Contract, *instances: Any, **more: Any) -> Call:
    """Decode instances as a body."""
    return decoded(subject, json.dumps({"instances": instances, **more}).encode())


def violation(subject: Contract, *instances: Any, **more: Any) -> ContractViolationError:
    """Return the error with which instances are refused."""
    with pytest.raises(ContractViolationError) as caught:
        decode(subject, *instances, **more)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "dtype", "given", "travels"),
    [
        ("boolean", "bool", [True, False], [True, False]),
        ("integer", "int32", [-(2**31), 2**31 - 1], [-(2**31), 2**31 - 1]),
        ("long", "int64", [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ("float", "float32", [1, -2.5], [1.0, -2.5]),
        ("double", "float64", [1, 1e308], [1.0, 1e308]),
    ],
)
def test_numbers_travel_as_buffers_of_their_own_dtype(
    kind: str, dtype: str, given: list[Any], travels: list[Any]
) -> None:
    """The dtype is the signature's; an integer is taken for a float."""
    subject = contract(column(kind, "x"))
    call = decode(subject, *({"x": value} for value in given))
    assert subject.inputs[0].dtype == dtype
    assert isinstance(call.columns[0], bytes)
    assert np.frombuffer(call.columns[0], dtype).tolist() == travels


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("boolean", 1),
        ("boolean", "true"),
        ("integer", 2**31),
        ("integer", True),
        ("integer", 1.0),
        ("long", 2**63),
        ("long", "1"),
        ("long", 10**400),
        ("float", 1e39),
        ("float", True),
        ("double", "1.5"),
        ("double", None),
        ("string", 1),
        ("binary", "not base64"),
        ("binary", [1]),
        ("datetime", "yesterday"),
        ("datetime", 5),
        ("datetime", "2024-13-01"),
        ("datetime", "0001-01-01T00:00:00+10:00"),
        ("datetime", "1066-10-14"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(kind: str, wrong: Any) -> None:
    """The path names row and column, whatever the type."""
    good = {"boolean": True, "string": "a", "binary": "YQ==", "datetime": "2024-01-01"}.get(kind, 1)
    subject = contract(column(kind, "the day"))
    error = violation(subject, {"the day": good}, {"the day": wrong})
    assert (error.path, error.row) == ("instances[1].the day", 1)
    assert error.expected


@pytest.mark.parametrize("body", [b"1e400", b"1" * 5000, b"-1e999"])
@pytest.mark.parametrize("kind", ["long", "double", "float", "any"])
def test_a_number_beyond_all_range_is_refused(kind: str, body: bytes) -> None:
    """Nothing but the two errors comes out."""
    with pytest.raises((ContractViolationError, MalformedBodyError)):
        decoded(contract(column(kind, "x")), b'{"instances":[{"x":' + body + b"}]}")


@pytest.mark.parametrize("rest", [b"", b"}", b"}]", b"}]}}", b"}],,", b'}],"a":"\xff"}', b"}]" * 9])
@pytest.mark.parametrize("number", [b"1e400", b"1" * 5000, b"-1e999"])
def test_a_fault_behind_a_number_beyond_all_range_is_refused(number: bytes, rest: bytes) -> None:
    """The first fault that was met need not be the only one."""
    with pytest.raises((ContractViolationError, MalformedBodyError)):
        decoded(contract(column("double", "x")), b'{"instances":[{"x":' + number + rest)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00"),
        ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00"),
        ("2024-02-29T12:00:00.25", "2024-02-29T12:00:00.25"),
        ("2024-02-29", "2024-02-29"),
        ("2024-12-31T23:59:59.9999999Z", "2024-12-31T23:59:59.9999999"),
        ("2024-12-31T23:59:59.123456789999-01:00", "2025-01-01T00:59:59.123456789"),
        ("2024-12-31T23:59:59.1234567", "2024-12-31T23:59:59.1234567"),
    ],
)
def test_a_datetime_becomes_naive_utc(given: str, expected: str) -> None:
    """RFC 3339 with or without a zone, or a date alone."""
    call = decode(contract(column("datetime", "at")), {"at": given})
    assert isinstance(call.columns[0], bytes)
    assert np.frombuffer(call.columns[0], "datetime64[ns]")[0] == np.datetime64(expected)


@pytest.mark.parametrize("given", ["2024-W01-1", "2024W011", "20240229", "2024-02-30", "24-02-29"])
def test_a_date_is_one_of_rfc_3339(given: str) -> None:
    """Weeks and dates without dashes are ISO 8601's alone."""
    error = violation(contract(column("datetime", "at")), {"at": given})
    assert error.expected == "an RFC 3339 datetime"


def test_an_optional_column_may_be_null_or_absent() -> None:
    """One that nobody sent is empty, one of nulls has a value for each row."""
    kinds = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
    subject = contract(*(column(kind, kind, required=False) for kind in kinds), column("long", "x"))
    absent, null = {"x": 1}, {"x": 1, **dict.fromkeys(kinds)}
    assert not any(decode(subject, absent).columns[:-1])
    assert set(decode(subject, absent).filled) == {Filled.ABSENT}
    columns = dict(zip([*kinds, "x"], decode(subject, null).columns, strict=True))
    assert columns["long"] == columns["string"] == columns["boolean"] == [None]
    assert np.isnan(np.frombuffer(columns["float"], "float32")[0])  # type: ignore[arg-type]
    assert np.isnat(np.frombuffer(columns["datetime"], "datetime64[ns]")[0])  # type: ignore[arg-type]
    # A row without it, among others that have it, is one with a null.
    assert decode(subject, absent, null) == decode(subject, null, null)
    assert decode(subject, null).filled != decode(subject, absent).filled


def test_a_required_column_may_be_neither_null_nor_absent() -> None:
    """An absent field is part of the path."""
    subject = contract(column("long", "x"), column("long", "y"))
    error = violation(subject, {"x": 1, "y": 1}, {"x": 1})
    assert (error.path, error.row, error.got) == ("instances[1].y", 1, "nothing")
    assert violation(subject, {"x": None, "y": 1}).got == "null"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "tab\there", "the day", "é", "a.b[0]", "class"])
def test_a_column_may_have_any_name(name: str) -> None:
    """Names that msgspec's structs don't take are served too."""
    for refuse in (False, True):
        subject = contract(column("long", name), column("double", "y", required=False))
        assert decode(subject, {name: 5}).rows == 1
        subject = contract(column("long", name), refuse=refuse)
        assert violation(subject, {name: "x"}).path == f"instances[0].{name}"
        assert violation(subject, {name: "x"}).got == 'the string "x"'


@pytest.mark.parametrize("name", ["x", 'x"'])
def test_unknown_fields_are_ignored_unless_they_are_to_be_refused(name: str) -> None:
    """In an instance; the error names the field."""
    body = {name: 1, "new": 2}
    assert decode(contract(column("long", name)), body, more=1).rows == 1
    error = violation(contract(column("long", name), refuse=True), {name: 1}, body)
    assert (error.path, error.got) == ("instances[1].new", "the integer 2")


def test_an_unknown_field_of_the_body_is_refused_too() -> None:
    """The path is the field's own."""
    assert violation(contract(column("long", "x"), refuse=True), {"x": 1}, more=1).path == "more"


def test_nested_values_are_validated_and_travel_as_lists() -> None:
    """Arrays, objects, maps and open values; unknown properties are left out."""
    thing = {
        "n": {"type": "long", "required": True},
        "at": {"type": "datetime", "required": False},
    }
    subject = contract(
        column("array", "a", items={"type": "array", "items": {"type": "double"}}),
        column("object", "o", properties=thing),
        column("map", "m", values={"type": "string"}),
        column("any", "any"),
    )
    row = {"a": [[1], []], "o": {"n": 1, "x": 2}, "m": {"k": "v"}, "any": {"z": [None, 1.5]}}
    call = decode(subject, row, {**row, "o": {"n": 2, "at": "2024-01-01T00:00:00Z"}})
    assert call.columns == [
        [[[1.0], []]] * 2,
        [{"n": 1}, {"n": 2, "at": "2024-01-01T00:00:00"}],
        [{"k": "v"}] * 2,
        [{"z": [None, 1.5]}] * 2,
    ]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call) == call
    assert violation(subject, {**row, "a": [[1], ["x"]]}).path == "instances[0].a[1][0]"
    assert violation(subject, {**row, "o": {}}).path == "instances[0].o.n"
    assert violation(subject, {**row, "m": {"k": 1}}).row == 0
    assert violation(subject, row, {**row, "any": [2**64]}).path == "instances[1].any"


def test_an_open_value_may_not_be_nested_without_end() -> None:
    """What follows recurses over it."""
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert "nesting" in violation(contract(column("any", "x")), {"x": deep}).expected


def test_unnamed_columns_are_given_as_arrays() -> None:
    """One value a column, in order."""
    subject = contract(column("double", None), column("string", None))
    assert subject.layout is Layout.POSITIONAL
    assert decode(subject, [1, "a"], [2, "b"]).columns[1] == ["a", "b"]
    assert violation(subject, [1, "a"], [1]).path == "instances[1]"
    assert violation(subject, [1, "a"], [1, 2]).path == "instances[1][1]"


def test_a_tensor_is_given_as_nested_arrays_of_its_shape() -> None:
    """The first dimension is that of the rows."""
    subject = contract(tensor("float32", [-1, 2, 3]))
    assert subject.layout is Layout.TENSOR
    call = decode(subject, [[1, 2, 3], [4, 5, 6]], [[0, 0, 0], [0, 0, 0]])
    assert np.frombuffer(call.columns[0], "float32").reshape(2, 2, 3)[0, 1, 2] == 6  # type: ignore[arg-type]
    assert violation(subject, [[1, 2, 3], [4, 5]]).path == "instances[0][1]"
    assert violation(subject, [[1, 2, 3]]).path == "instances[0]"
    assert decode(contract(tensor("int64", [-1])), 1, 2).rows == 2


def test_a_tensor_without_a_common_shape_travels_as_a_list() -> None:
    """Inner dimensions that may vary, and elements that have no buffer."""
    assert decode(contract(tensor("float64", [-1, -1])), [1], [1, 2]).columns == [[[1.0], [1, 2.0]]]
    assert decode(contract(tensor("str", [-1, 2])), ["a", "b"]).columns == [[["a", "b"]]]
    assert decode(contract(tensor("object", [-1])), "a", 1).columns == [["a", 1]]


def test_named_tensors_are_given_as_objects() -> None:
    """Each under its name."""
    subject = contract(tensor("float64", [-1, 2], "x"), tensor("uint64", [-1], "n"))
    assert subject.layout is Layout.TENSORS
    assert decode(subject, {"x": [1, 2], "n": 2**64 - 1}).rows == 1
    assert violation(subject, {"x": [1, 2], "n": 2**64}).path == "instances[0].n"
    assert violation(subject, {"x": [1], "n": 1}).path == "instances[0].x"


def test_a_fixed_number_of_rows_is_held_to() -> None:
    """A tensor's first dimension may be a number."""
    subject = contract(tensor("float64", [2, 1]))
    assert decode(subject, [1], [2]).rows == 2
    assert violation(subject, [1]).path == "instances"


PARAMS: list[dict[str, Any]] = [
    {"name": "k", "type": "long", "default": 3, "shape": None},
    {"name": "scale", "type": "double", "default": None, "shape": None},
    {"name": "words", "type": "string", "default": ["a"], "shape": [-1]},
    {"name": "since", "type": "datetime", "default": "2020-01-01T00:00:00", "shape": None},
    {
        "name": "o",
        "type": "object",
        "properties": {"n": {"type": "long", "required": True}},
        "default": {"n": 1},
        "shape": None,
    },
]


def test_params_are_filled_with_their_defaults() -> None:
    """So that requests with equal params may be merged."""
    subject = contract(column("long", "x"), params=PARAMS)
    defaults = {
        "k": 3,
        "scale": None,
        "words": ["a"],
        "since": "2020-01-01T00:00:00",
        "o": {"n": 1},
    }
    assert decode(subject, {"x": 1}).params == defaults
    given = {"k": 5, "scale": 1, "since": "2024-01-01T01:00:00+01:00", "o": {"n": 2}, "new": 1}
    expected = {**defaults, **given, "since": "2024-01-01T00:00:00"}
    del expected["new"]
    assert decode(subject, {"x": 1}, params=given).params == expected
    assert decode(contract(column("long", "x")), {"x": 1}, params=given).params is None


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"k": "5"}, "params.k"),
        ({"k": 2**63}, "params.k"),
        ({"words": "a"}, "params.words"),
        ({"words": ["a", 1]}, "params.words[1]"),
        ({"o": {}}, "params.o.n"),
        ([], "params"),
    ],
)
def test_params_are_validated(params: Any, path: str) -> None:
    """By their own types; the path begins with `params`."""
    subject = contract(column("long", "x"), params=PARAMS)
    assert violation(subject, {"x": 1}, params=params).path == path


def test_unknown_params_are_refused_where_unknown_fields_are() -> None:
    """And ignored elsewhere."""
    subject = contract(column("long", "x"), params=PARAMS, refuse=True)
    assert violation(subject, {"x": 1}, params={"new": 1}).path == "params.new"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"instances":[{"x":NaN}]}',
        b'{"instances":[{"x":"\xff"}]}',
        b'{"instances":[{"x":1}]} trailing',
        b'{"instances":[{"x":"\\ud800"}]}',
        b'{"instances":[{"x":"a"}], ',
        b'{"instances":[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """A sentence says what is wrong, and where that is known the byte."""
    with pytest.raises(MalformedBodyError, match="the body"):
        decoded(contract(column("any", "x")), body)
    with pytest.raises(MalformedBodyError, match="the body"):
        decoded(contract(column("long", "x")), body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        (None, ""),
        ({}, "instances"),
        ({"instances": []}, "instances"),
        ({"instances": {}}, "instances"),
        ({"instances": [3]}, "instances[0]"),
    ],
)
def test_a_body_of_another_form_is_refused(body: Any, path: str) -> None:
    """With a path as far as there is one; no instances at all are refused too."""
    with pytest.raises(ContractViolationError) as caught:
        decoded(contract(column("long", "x")), json.dumps(body).encode())
    assert caught.value.path == path


def test_what_came_is_shown_in_a_few_words() -> None:
    """However long it is."""
    subject = contract(column("long", "x"))
    assert violation(subject, {"x": "y" * 500}).got.endswith("...")
    assert len(violation(subject, {"x": "y" * 500}).got) < 100
    assert violation(subject, {"x": [1, 2]}).got == "an array of 2 items"
    assert violation(subject, {"x": {"a": 1}}).got == "an object with a"
    assert violation(subject, {"x": 1.5}).got == "the number 1.5"
    assert str(violation(subject, {"x": None})) == ("instances[0].x: expected an integer, got null")
