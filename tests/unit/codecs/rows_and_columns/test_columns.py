"""The body with a list for each input, and the answer in the same form."""

import json
from typing import Any

import pytest

from service.codecs.codec import Form
from service.codecs.rows_and_columns.codec import BY_COLUMNS, BY_ROWS, RowsAndColumns
from service.contracts.choose import contract_for
from service.contracts.contract import Contract, Predictions
from service.core.errors import ContractViolationError, MalformedBodyError
from service.core.version_names import VersionNames
from tests.support.envelopes import decoded

MIXED = [
    {"type": "string", "name": "day", "required": True},
    {"type": "long", "name": "count", "required": True},
    {"type": "double", "name": "share", "required": False},
]
NAMELESS = [{"type": "double", "required": True}, {"type": "long", "required": True}]
TENSOR = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}]
TENSORS = [
    {"name": "a", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}},
    {"name": "b", "type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-1]}},
]
FIXED = [{"name": "a", "type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [2]}}]
QUOTED = [{"type": "long", "name": 'a "quoted" name', "required": True}]
PARAMS = [{"name": "top", "type": "long", "default": 1, "shape": None}]


def contract(inputs: list[dict[str, Any]], *, refuse: bool = False, params: Any = None) -> Contract:
    """Derive the contract of some model."""
    signature = {"inputs": inputs, "outputs": None, "params": params}
    return contract_for("some-model", signature, refuse_unknown=refuse)


def body(**parts: Any) -> bytes:
    """Write a body."""
    return json.dumps(parts).encode()


def violation(subject: Contract, **parts: Any) -> ContractViolationError:
    """Return the error with which a body is refused."""
    with pytest.raises(ContractViolationError) as caught:
        decoded(subject, body(**parts))
    return caught.value


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        (MIXED, [{"day": "a", "count": 1, "share": 0.5}, {"day": "b", "count": 2, "share": None}]),
        (TENSORS, [{"a": [1.5, 2], "b": 1}, {"a": [3, 4], "b": -1}]),
        (QUOTED, [{'a "quoted" name': 1}, {'a "quoted" name': 2}]),
        (FIXED, [{"a": 1}, {"a": 2}]),
    ],
)
def test_columns_give_the_call_that_rows_give(
    inputs: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    """So that both kinds of request may share a batch; only the answer's form differs."""
    subject = contract(inputs)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    codec = RowsAndColumns(subject)
    by_row, wanted_by_row = codec.decode(body(instances=rows))
    by_column, wanted_by_column = codec.decode(body(columns=columns))
    assert by_row == by_column
    assert (wanted_by_row.form, wanted_by_column.form) == (Form.ROWS, Form.COLUMNS)


def test_an_optional_column_may_be_absent_and_params_stand_beside() -> None:
    """As in rows: a row that has no value of it, and a parameter that is filled in."""
    subject = contract(MIXED, params=PARAMS)
    rows = decoded(subject, body(instances=[{"day": "a", "count": 1}], params={"top": 3}))
    columns = {"day": ["a"], "count": [1]}
    assert decoded(subject, body(columns=columns, params={"top": 3})) == rows
    assert decoded(subject, body(columns=columns)).params == {"top": 1}
    assert violation(subject, columns=columns, params={"top": "3"}).path == "params.top"


@pytest.mark.parametrize(
    ("columns", "path", "row", "expected"),
    [
        ({"day": ["a", 1], "count": [1, 2]}, "columns.day[1]", 1, "a string"),
        ({"day": ["a", "b"], "count": [1, 2.0]}, "columns.count[1]", 1, "an integer"),
        ({"day": ["a"], "count": [True]}, "columns.count[0]", 0, "an integer"),
        ({"day": ["a"], "count": [None]}, "columns.count[0]", 0, "an integer"),
        ({"day": ["a"], "count": [1], "share": ["1"]}, "columns.share[0]", 0, "a number or null"),
        ({"day": ["a"]}, "columns.count", None, "a value"),
        ({"day": ["a"], "count": None}, "columns.count", None, "an array"),
        ({"day": ["a"], "count": 1}, "columns.count", None, "an array"),
        ({"day": ["a"], "count": []}, "columns.count", None, "an array of length >= 1"),
        ({"day": ["a", "b"], "count": [1]}, "columns.count", None, "an array of 2 items, as day"),
        ([], "columns", None, "an object"),
        (None, "columns", None, "an object"),
    ],
)
def test_a_fault_in_a_column_is_told_with_its_row(
    columns: Any, path: str, row: int | None, expected: str
) -> None:
    """The path names column and row; where the fault is the whole column's there is no row."""
    error = violation(contract(MIXED), columns=columns)
    assert (error.path, error.row) == (path, row)
    assert error.expected.startswith(expected)


@pytest.mark.parametrize("number", ["1e999", "-1e400", "1" + 400 * "0" + ".5"])
def test_a_number_beyond_all_range_is_told_with_its_row(number: str) -> None:
    """It is shown as it was written, cut short."""
    text = f'{{"columns":{{"day":["a","b"],"count":[1,2],"share":[0.5,{number}]}}}}'
    with pytest.raises(ContractViolationError) as caught:
        decoded(contract(MIXED), text.encode())
    assert (caught.value.path, caught.value.row) == ("columns.share[1]", 1)
    assert caught.value.got.startswith(f"the number {number[:20]}")
    assert len(caught.value.got) < 100


def test_names_with_brackets_and_quotes_are_found_all_the_same() -> None:
    """A column's name may look like a path."""
    names = ["b[1]", "a.b", "a"]
    subject = contract([{"type": "long", "name": name, "required": True} for name in names])
    for name in names:
        columns = {**{key: [1, 2] for key in names}, name: [1, "x"]}
        error = violation(subject, columns=columns)
        assert (error.path, error.row) == (f"columns.{name}[1]", 1)
    error = violation(contract(QUOTED), columns={'a "quoted" name': [1, 2, 0.5]})
    assert (error.path, error.row) == ('columns.a "quoted" name[2]', 2)


def test_no_column_at_all_is_refused() -> None:
    """Where every one is optional, nothing would say how many rows there are."""
    optional = [{**spec, "required": False} for spec in MIXED]
    assert violation(contract(optional), columns={}).path == "columns"
    assert violation(contract(optional), columns={"new": [1]}).path == "columns"


@pytest.mark.parametrize("inputs", [MIXED, QUOTED])
def test_unknown_columns_are_ignored_unless_they_are_to_be_refused(
    inputs: list[dict[str, Any]],
) -> None:
    """Whatever their names have in them, and of whatever length they are."""
    columns = {spec["name"]: [1] if spec["type"] == "long" else ["a"] for spec in inputs[:2]}
    columns["new"] = [1, 2, 3]
    assert decoded(contract(inputs), body(columns=columns)).rows == 1
    error = violation(contract(inputs, refuse=True), columns=columns)
    assert (error.path, error.row) == ("columns.new", None)


def test_a_body_has_either_instances_or_columns() -> None:
    """Both are one too many, whatever is in them."""
    rows, columns = [{"day": "a", "count": 1}], {"day": ["a"], "count": [1]}
    error = violation(contract(MIXED), instances=rows, columns=columns)
    assert (error.path, error.got) == ("columns", "both")
    assert violation(contract(MIXED)).path == "instances"


@pytest.mark.parametrize("inputs", [NAMELESS, TENSOR])
@pytest.mark.parametrize("refuse", [False, True])
def test_a_model_without_names_takes_no_columns(
    inputs: list[dict[str, Any]], *, refuse: bool
) -> None:
    """And the error says what to send."""
    error = violation(contract(inputs, refuse=refuse), columns={"a": [1]})
    assert error.path == "columns"
    assert error.expected.startswith("instances")


def test_a_tensor_with_a_fixed_number_of_rows_wants_so_many() -> None:
    """As in rows."""
    assert violation(contract(FIXED), columns={"a": [1]}).path == "columns.a"


def test_what_is_no_json_is_malformed_in_this_form_too() -> None:
    """Cut short, or not UTF-8."""
    for text in (b'{"columns": {"day": ["a"', b'{"columns": {"day": ["\xff"], "count": [1]}}'):
        with pytest.raises(MalformedBodyError):
            decoded(contract(MIXED), text)


def test_an_answer_has_the_form_of_its_request() -> None:
    """An array a column, or an object a row."""
    buffer = b"\x00\x00\x80?\x00\x00\x00@"
    answer = Predictions(2, ["x", "y"], [buffer, ["a", None]], ["float32", ""], [[], []], [])
    codec = RowsAndColumns(contract(MIXED))
    names = VersionNames("m", "7", "@champion")
    for start, wanted, predictions in (
        (0, BY_COLUMNS, {"x": [1, 2], "y": ["a", None]}),
        (1, BY_COLUMNS, {"x": [2], "y": [None]}),
        (1, BY_ROWS, [{"x": 2, "y": None}]),
    ):
        assert json.loads(codec.encode(answer, start, 2, wanted, names)) == {
            "predictions": predictions,
            "model_name": "m",
            "model_stage": "@champion",
            "model_version": "7",
        }


def test_a_parameter_that_is_not_utf_8_is_malformed() -> None:
    """What stands for it in the body is not read before its type is known."""
    subject = contract([MIXED[2]], params=[{**PARAMS[0], "type": "string", "default": ""}])
    with pytest.raises(MalformedBodyError, match="UTF-8"):
        decoded(subject, b'{"instances": [{}], "params": {"top": "\xff"}}')
