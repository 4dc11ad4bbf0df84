"""Named tensors as lists of one size."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Call
from service.core.errors import ContractViolationError
from tools.arrow_bodies import stream


def decode(dtype: str, shape: list[int], *chunks: Any, named: bool = True) -> Call:
    """Decode one tensor."""
    name = {"name": "x"} if named else {}
    inputs = [{**name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]
    contract = contract_for("m", {"inputs": inputs, "outputs": None}, refuse_unknown=False)
    return ArrowRequests(contract).decode(stream({"x": pa.chunked_array(list(chunks))}), 1_000_000)


def refused(dtype: str, shape: list[int], *chunks: Any) -> ContractViolationError:
    """Return the error with which a tensor is refused."""
    with pytest.raises(ContractViolationError) as caught:
        decode(dtype, shape, *chunks)
    return caught.value


def fixed(values: Any, kind: pa.DataType, *sizes: int) -> pa.Array:
    """Return lists of these sizes, the innermost first."""
    for size in sizes:
        kind = pa.list_(kind, size)
    return pa.array(values, kind)


CUBE = np.arange(12, dtype="float32").reshape(2, 2, 3)


@pytest.mark.parametrize(
    "column",
    [
        fixed(CUBE.tolist(), pa.float32(), 3, 2),
        pa.array(CUBE.tolist(), pa.list_(pa.list_(pa.float32()))),
        pa.array(CUBE.tolist(), pa.large_list(pa.list_(pa.float16(), 3))),
        pa.FixedShapeTensorArray.from_numpy_ndarray(CUBE),
    ],
)
def test_a_row_is_lists_in_lists(column: Any) -> None:
    """Of fixed size, or of one that they all happen to have, or Arrow's own tensors."""
    call = decode("float32", [-1, 2, 3], column)
    assert (call.rows, call.columns) == (2, [CUBE.tobytes()])
    twice = decode("float32", [-1, 2, 3], column.slice(1), column)
    assert twice.columns == [np.concatenate([CUBE[1:], CUBE]).tobytes()]


def test_a_tensor_of_one_value_a_row_is_a_column() -> None:
    """No list is needed; numbers widen as anywhere."""
    call = decode("int64", [-1], pa.array([1, 2], pa.int8()))
    assert call.columns == [np.array([1, 2]).tobytes()]
    assert decode("bool", [-1, 1], pa.array([[True], [False]])).columns == [b"\x01\x00"]
    assert decode("uint64", [-1], pa.array([2**64 - 1], pa.uint64())).columns == [b"\xff" * 8]


@pytest.mark.parametrize(
    ("column", "row"),
    [
        (pa.array([1.0, 2.0]), None),
        (fixed([[1.0], [2.0]], pa.float32(), 1), None),
        (fixed([[1, 2, 3]], pa.float64(), 3), None),
        (fixed([[True] * 3], pa.bool_(), 3), None),
        (pa.array([[1, 2, 3], [1, 2]], pa.list_(pa.float32())), 1),
        (pa.array([[1, 2, 3], None], pa.list_(pa.float32(), 3)), 1),
        (pa.array([[1, 2, 3], [1, None, 3]], pa.list_(pa.float32())), 1),
        (fixed([[1, 2, 3], [1, 2, np.nan]], pa.float32(), 3), 1),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(CUBE), None),
    ],
)
def test_another_shape_or_type_is_refused(column: Any, row: int | None) -> None:
    """With the row where it is one row's fault."""
    error = refused("float32", [-1, 3], column)
    assert error.path == ("columns.x" if row is None else f"columns.x[{row}]")
    assert error.row == row


@pytest.mark.parametrize(("dtype", "shape"), [("str", [-1]), ("object", [-1]), ("int64", [-1, -1])])
def test_a_tensor_that_lists_of_one_size_do_not_hold_wants_json(
    dtype: str, shape: list[int]
) -> None:
    """And the error says so."""
    assert "JSON" in refused(dtype, shape, pa.array([[1], [2]])).expected


def test_a_model_without_names_wants_json() -> None:
    """There is no column that could be its input."""
    with pytest.raises(ContractViolationError) as caught:
        decode("float32", [-1, 3], pa.array([[1, 2, 3]]), named=False)
    assert caught.value.path == ""
    assert caught.value.expected.startswith("JSON with instances")


def test_a_fixed_number_of_rows_is_wanted() -> None:
    """As in JSON."""
    assert refused("int8", [2], pa.array([1], pa.int8())).path == "columns.x"
    assert decode("int8", [2], pa.array([1, 2], pa.int8())).rows == 2
