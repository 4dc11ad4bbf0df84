"""What predictions look like in Arrow."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.arrow.answer import encode_stream
from service.contracts.choose import contract_for
from service.contracts.contract import Column, Predictions
from service.core.errors import NotAcceptableError
from tools.arrow_bodies import table_of


def answer(column: Column, dtype: str, shape: list[int], rows: int, kind: str = "") -> pa.Table:
    """Encode one output and read it back."""
    inputs = [{"type": "double", "name": "a"}]
    more = {"items": {"type": "long"}} if kind == "array" else {}
    outputs = [{"type": kind, "name": "y", **more}] if kind else None
    contract = contract_for("m", {"inputs": inputs, "outputs": outputs}, refuse_unknown=False)
    predictions = Predictions(rows, ["y"], [column], [dtype], [shape], [])
    return table_of(encode_stream(contract, predictions, {"hotswap.model_version": "7"}))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "int32", "float16", "float64"])
def test_numbers_keep_their_type(dtype: str) -> None:
    """And the version that gave them stands in the schema."""
    table = answer(np.array([0, 1, 1], dtype).tobytes(), dtype, [], 3)
    assert table.schema.metadata == {b"hotswap.model_version": b"7"}
    assert table["y"].type == pa.from_numpy_dtype(np.dtype(dtype))
    assert table["y"].to_pylist() == [0, 1, 1]


def test_several_values_a_row_are_lists_of_one_size() -> None:
    """In as many dimensions as there are."""
    cube = np.arange(12.0).reshape(2, 3, 2)
    table = answer(cube.tobytes(), "float64", [3, 2], 2)
    assert table["y"].type == pa.list_(pa.list_(pa.float64(), 2), 3)
    assert table["y"].to_pylist() == cube.tolist()


def test_moments_are_in_utc_and_a_missing_one_is_null() -> None:
    """As JSON has them."""
    moments = np.array(["2024-02-29T12:00", "NaT"], "datetime64[us]")
    table = answer(moments.tobytes(), "datetime64[us]", [], 2)
    assert table["y"].to_pylist() == [datetime(2024, 2, 29, 12, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        (["a", None], "string", pa.string()),
        ([None, None], "string", pa.string()),
        ([None, 1], "long", pa.int64()),
        ([True, None], "boolean", pa.bool_()),
        ([b"a"], "binary", pa.binary()),
        ([1, 2], "string", pa.int64()),
        ([[1], [2, 3]], "array", pa.list_(pa.int64())),
        ([{"a": 1}, {"a": None}], "", pa.struct({"a": pa.int64()})),
        ([None], "", pa.null()),
    ],
)
def test_lists_have_the_type_that_the_signature_says_where_that_holds(
    values: list[Any], kind: str, wanted: pa.DataType
) -> None:
    """Else the one that the values have."""
    table = answer(values, "", [], len(values), kind)
    assert table["y"].type == wanted
    assert table["y"].to_pylist() == values


@pytest.mark.parametrize("values", [[1, "a"], [{"a": 1}, [1]], [2**70, -1]])
def test_values_of_no_one_type_can_not_be_answered_so(values: list[Any]) -> None:
    """The error says what to accept instead."""
    with pytest.raises(NotAcceptableError, match="application/json"):
        answer(values, "", [], len(values))
