"""What becomes of a model's answer."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse  # type: ignore[import-untyped]

from service.codecs.json.encoding import encode_rows
from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import ModelFailedError
from service.predictors.outputs import ForEachOutput, ModelOutputError, to_predictions

TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
NAN = float("nan")


def contract(*outputs: dict[str, Any]) -> Contract:
    """Return a contract with these outputs."""
    signature = {"inputs": [{"type": "long", "name": "x"}], "outputs": list(outputs) or None}
    return contract_for("some-model", signature, refuse_unknown=False)


def named(*names: str, kind: str = "double") -> Contract:
    """Return a contract with outputs of these names."""
    return contract(*({"type": kind, "name": name} for name in names))


def rows(subject: Contract, output: Any, count: int) -> list[Any]:
    """Return an answer as its callers read it."""
    predictions = to_predictions(subject, output, count)
    assert not predictions.non_finite
    answered: list[Any] = json.loads(encode_rows(predictions, 0, count))
    return answered


def one(subject: Contract, output: Any, count: int) -> list[Any]:
    """Return the values of an answer's single column."""
    return [next(iter(row.values())) for row in rows(subject, output, count)]


@pytest.mark.parametrize(
    "output",
    [
        np.array([1.5, 2.5]),
        np.array([[1.5], [2.5]]),
        pd.Series([1.5, 2.5], name="anything"),
        pd.DataFrame({"anything": [1.5, 2.5]}),
        [1.5, 2.5],
        (1.5, 2.5),
        [[1.5], [2.5]],
        [np.float64(1.5), Decimal("2.5")],
        {"anything": [1.5, 2.5]},
        np.array([1.5, 2.5], dtype=object),
        pd.Series([1.5, 2.5], dtype="Float64"),
        pd.Series([1.5, 2.5], dtype="float64[pyarrow]"),
        pd.Series([1.5, 2.5], dtype="category"),
        scipy.sparse.csr_matrix([[1.5], [2.5]]),
        np.array([1.5, 2.5], dtype=">f8"),
        np.array([1.5, 2.5], dtype="float16"),
        np.array([1.5, 2.5], dtype="longdouble"),
        iter([1.5, 2.5]),
    ],
)
def test_one_column_of_numbers_comes_in_many_forms(output: Any) -> None:
    """All are the same answer."""
    expected = [{"prediction": 1.5}, {"prediction": 2.5}]
    assert rows(contract({"type": "double"}), output, 2) == expected


@pytest.mark.parametrize(
    "output",
    [
        pd.DataFrame({"extra": [0, 0], "b": [3, 4], "a": [1, 2]}),
        np.array([[1, 3], [2, 4]]),
        pd.DataFrame([[1, 3], [2, 4]]),
        [[1, 3], [2, 4]],
        [(1, 3), (2, 4)],
        [{"b": 3, "a": 1}, {"a": 2, "b": 4}],
        {"b": np.array([3, 4]), "a": [1, 2]},
        {"first": [1, 2], "second": [3, 4]},
        np.array([(1, 3), (2, 4)], dtype=[("a", "i8"), ("b", "i8")]),
        scipy.sparse.csc_matrix([[1, 3], [2, 4]]),
    ],
)
def test_columns_go_by_name_and_else_by_position(output: Any) -> None:
    """Named outputs of the signature decide."""
    assert rows(named("a", "b"), output, 2) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


def test_a_table_without_names_is_a_list_for_each_prediction() -> None:
    """As a tensor signature has it."""
    assert one(contract(TENSOR), np.array([[1.0, 2], [3, 4]]), 2) == [[1, 2], [3, 4]]
    assert one(contract(TENSOR), pd.DataFrame({"p": [1, 3], "q": [2, 4]}), 2) == [[1, 2], [3, 4]]
    assert one(contract(), np.zeros((2, 3, 1)), 2) == [[[0], [0], [0]]] * 2


def test_without_outputs_in_the_signature_the_answer_names_itself() -> None:
    """Or is called `prediction`."""
    assert rows(contract(), pd.DataFrame({"p": [1], "q": ["x"]}), 1) == [{"p": 1, "q": "x"}]
    assert rows(contract(), np.array([7]), 1) == [{"prediction": 7}]
    assert rows(contract(), pd.DataFrame([[7, 8]]), 1) == [{"0": 7, "1": 8}]
    assert rows(contract(), {"p": 1, "v": [1, 2, 3]}, 1) == [{"p": 1, "v": [1, 2, 3]}]


@pytest.mark.parametrize("output", [3, 3.0, np.int64(3), np.array(3), "three", True, {"a": 3}])
def test_a_single_answer_is_taken_for_a_single_row(output: Any) -> None:
    """And for nothing else."""
    assert len(rows(contract({"type": "any"}), output, 1)) == 1
    with pytest.raises(ModelOutputError, match="2 rows"):
        to_predictions(contract({"type": "any"}), output, 2)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.array(["a", "b"]), ["a", "b"]),
        (pd.Series(["a", None]), ["a", None]),
        (pd.Series(["a", NAN], dtype=object), ["a", None]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series(["a", None], dtype="string[pyarrow]"), ["a", None]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series([1, 2], dtype="Int64"), [1, 2]),
        (pd.Series([1, 2], dtype="int32[pyarrow]"), [1, 2]),
        (np.array([1, 2], dtype="uint64"), [1, 2]),
        (["a", ["b"]], ["a", ["b"]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        ([{"k": np.float32(0.5)}, {"k": 1}], [0.5, 1]),
        (np.array([b"ab", b"c"]), ["YWI=", "Yw=="]),
        ([np.array([1, 2]), np.array([3])], [[1, 2], [3]]),
        (
            pd.to_datetime(pd.Series(["2024-01-01", None])),
            ["2024-01-01T00:00:00Z", None],
        ),
        (
            pd.to_datetime(pd.Series(["2024-01-01T01:00:00+01:00"] * 2)),
            ["2024-01-01T00:00:00Z"] * 2,
        ),
        (np.array(["2024-01-01"] * 2, "datetime64[ns]"), ["2024-01-01T00:00:00Z"] * 2),
        ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.date(2024, 1, 2)], None),
        (np.array([1, 2], "timedelta64[s]"), ["P0DT0H0M1S", "P0DT0H0M2S"]),
    ],
)
def test_other_types_become_what_json_has(output: Any, expected: list[Any] | None) -> None:
    """Missing labels are null."""
    expected = expected or ["2024-01-01T00:00:00Z", "2024-01-02"]
    subject = (
        contract({"type": "string"}) if not isinstance(output[0], dict) else named("k", kind="")
    )
    assert one(subject, output, 2) == expected


@pytest.mark.parametrize(
    "output",
    [
        np.array([1.0, np.nan, np.inf]),
        np.array([1.0, np.nan, -np.inf], dtype="float32"),
        pd.Series([1.0, None, None]),
        pd.Series([1.0, NAN, np.inf], dtype=object),
        [1.0, NAN, float("inf")],
        [[1.0], [1.0, NAN], [float("inf")]],
        np.array([[1.0, 1], [np.nan, 1], [1, np.inf]]),
        [{"y": 1.0}, {"y": NAN}, {"y": -np.inf}],
    ],
)
def test_rows_without_a_finite_number_are_named(output: Any) -> None:
    """In ascending order."""
    assert to_predictions(contract({"type": "double"}), output, 3).non_finite == [1, 2]


def test_nan_is_missing_where_the_type_is_no_numbers() -> None:
    """And a number that is none where it is one."""
    assert to_predictions(named("y", kind="string"), [None, NAN], 2).non_finite == []
    assert to_predictions(named("y", kind="double"), [None, NAN], 2).non_finite == [1]
    assert to_predictions(contract(), [None, NAN], 2).non_finite == [1]


@pytest.mark.parametrize(
    "output",
    [
        pd.Series([1, None, None], dtype="Int64"),
        pd.Series([1, None, pd.NA], dtype=object),
        [1, None, pd.NaT],
        [{"y": 1}, {"y": None}, {}],
        pd.Series([1, None, None], dtype="int64[pyarrow]"),
    ],
)
@pytest.mark.parametrize("kind", ["double", "long", ""])
def test_a_number_that_is_missing_is_null(output: Any, kind: str) -> None:
    """Also where a key was left out."""
    assert one(contract({"type": kind}) if kind else contract(), output, 3) == [1, None, None]


PROBABILITIES = [np.array([[0.1, 0.9], [0.4, 0.6]]), np.array([[0.2, 0.8], [0.5, 0.5]])]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("classes", [2, 1])
def test_an_array_for_each_output_gives_each_row_its_own(count: int, classes: int) -> None:
    """As many rows as outputs, or not; as many classes each, or not."""
    first, second = PROBABILITIES[0][:count], PROBABILITIES[1][:count, :classes]
    expected = [[a, b] for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    answer = ForEachOutput([first, second])
    for subject in (contract(), contract({"type": "array", "items": {"type": "double"}})):
        assert one(subject, answer, count) == expected
    by_name = rows(named("a", "b", kind="array"), answer, count)
    assert [[row["a"], row["b"]] for row in by_name] == expected


ARRAY = {"type": "array", "items": {"type": "double"}}
OBJECT = {"type": "object", "properties": {"a": {"type": "long", "required": True}}}


@pytest.mark.parametrize(
    ("subject", "output", "expected"),
    [
        (contract(), [[]], [[]]),
        (contract(), [[], []], [[], []]),
        (contract(), np.zeros((2, 0)), [[], []]),
        (contract(), [[1.5], [2.5]], [[1.5], [2.5]]),
        (contract(), np.array([[1.5], [2.5]]), [[1.5], [2.5]]),
        (contract(), [[1, 2], [3, 4.5]], [[1, 2], [3, 4.5]]),
        (contract(), [1, 2.5], [1, 2.5]),
        (contract(ARRAY), [[1.5], [2.5]], [[1.5], [2.5]]),
        (contract(ARRAY), [[1.5, 2.5]], [[1.5, 2.5]]),
        (contract({**ARRAY, "name": "v"}), {"v": [1.5]}, [[1.5]]),
        (contract({**ARRAY, "name": "v"}), {"v": [1.5, 2.5]}, [[1.5, 2.5]]),
        (contract({**ARRAY, "name": "v"}), {"v": [[1.5], [2.5]]}, [[1.5], [2.5]]),
        (contract(OBJECT), [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        (contract(OBJECT), {"a": 1}, [{"a": 1}]),
        (contract({"type": "double"}), [[1.5], [2.5]], [1.5, 2.5]),
        (contract({"type": "double"}), [np.array([1.5])], [1.5]),
    ],
)
def test_the_form_of_a_value_follows_from_types(
    subject: Contract, output: Any, expected: list[Any]
) -> None:
    """Not from how many rows there are, or how long a value is."""
    found = one(subject, output, len(expected))
    assert (found, repr(found)) == (expected, repr(expected))


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"a": [1, 2], "b": np.zeros(3)}, "3 values of 'b' for 2 rows"),
        ({"a": [1], "b": [2]}, "1 values of 'a' for 2 rows"),
        (np.zeros(3), r"without a name, of shape \(3,\)"),
        (np.zeros((2, 3)), "1 columns .* wanted were a, b"),
        (pd.DataFrame({"a": [1, 2], "c": [1, 2], "d": [1, 2]}), "3 columns .a, c, d."),
        (pd.DataFrame({"a": [1, 2]}), r"1 columns .a.*wanted were a, b"),
        (None, "one NoneType for 2 rows"),
        ({}, "no column"),
        (pd.DataFrame(index=[0, 1]), "no column"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        ([[object(), 1]] * 2, "object is no type"),
        ([[2**70, 1]] * 2, "64 bits"),
    ],
)
def test_an_answer_of_another_form_says_what_came_and_what_was_wanted(
    output: Any, says: str
) -> None:
    """It is the model's failure."""
    with pytest.raises(ModelFailedError, match=says):
        to_predictions(named("a", "b"), output, 2)


def test_two_columns_of_one_name_are_refused() -> None:
    """JSON would lose one."""
    with pytest.raises(ModelOutputError, match="two columns of one name"):
        to_predictions(contract(), pd.DataFrame([[1, 2]], columns=["a", "a"]), 1)
