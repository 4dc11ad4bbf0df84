"""Which Arrow columns an input takes, and what they become."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.arrow.request import ArrowRequests
from service.contracts.choose import contract_for
from service.contracts.contract import Call
from service.core.errors import BodyTooLargeError, ContractViolationError
from tools.arrow_bodies import stream

LIMIT = 1_000_000


def decode(
    spec: dict[str, Any], *chunks: Any, required: bool = True, limit: int = LIMIT, **options: Any
) -> Call:
    """Decode one column of one input."""
    inputs = [{"name": "x", "required": required, **spec}]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    contract = contract_for("some-model", signature, refuse_unknown=False)
    column = pa.chunked_array(list(chunks))
    return ArrowRequests(contract).decode(stream({"x": column}, **options), limit)


def values(spec: dict[str, Any], *chunks: Any, dtype: str = "", **options: Any) -> list[Any]:
    """Return what a column becomes."""
    (column,) = decode(spec, *chunks, **options).columns
    if isinstance(column, list):
        assert not dtype
        return column
    return np.frombuffer(column, dtype).tolist()  # type: ignore[no-any-return]


def refused(spec: dict[str, Any], *chunks: Any, **options: Any) -> ContractViolationError:
    """Return the error with which a column is refused."""
    with pytest.raises(ContractViolationError) as caught:
        decode(spec, *chunks, **options)
    assert caught.value.path.startswith("columns.x")
    return caught.value


def of(kind: str) -> dict[str, Any]:
    """Write a scalar input."""
    return {"type": kind}


@pytest.mark.parametrize(
    ("kind", "dtype", "taken"),
    [
        ("integer", "int32", ["int8", "int16", "int32", "uint8", "uint16"]),
        ("long", "int64", ["int8", "int32", "int64", "uint32"]),
        ("float", "float32", ["float16", "float32", "int16", "uint8"]),
        ("double", "float64", ["float16", "float32", "float64", "int8", "int32", "int64"]),
    ],
)
def test_numbers_widen_where_that_is_safe(kind: str, dtype: str, taken: list[str]) -> None:
    """In one piece or in several, with and without nulls where those may be."""
    for name in taken:
        arrow = pa.from_numpy_dtype(np.dtype(name))
        one, other = (pa.array(np.array(v, name), arrow) for v in ([1, 2], [3]))
        assert values(of(kind), one, dtype=dtype) == [1, 2]
        assert values(of(kind), one, other, dtype=dtype) == [1, 2, 3]
        assert values(of(kind), one.slice(1), other, dtype=dtype) == [2, 3]


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        ("boolean", ["int8", "string", "double"]),
        ("integer", ["int64", "uint32", "double", "bool", "string", "date32", "timestamp[s]"]),
        ("long", ["uint64", "float", "bool", "string", "time32[s]", "duration[s]"]),
        ("float", ["double", "int32", "bool"]),
        ("double", ["string", "bool", "date64"]),
        ("string", ["binary", "int8", "date32"]),
        ("binary", ["string", "int8"]),
        ("datetime", ["string", "int64", "time64[us]", "duration[us]"]),
    ],
)
def test_a_column_of_another_type_is_refused(kind: str, others: list[str]) -> None:
    """With what was wanted and what came; there is no row to name."""
    for name in (*others, "null"):
        error = refused(of(kind), pa.array([None, None], pa.type_for_alias(name)))
        assert error.path == "columns.x"
        assert error.row is None
        assert error.got == f"a column of {pa.type_for_alias(name)}"
        assert error.expected.startswith("a column of ")
    nested = pa.array([[1]], pa.list_(pa.int64()))
    assert "list" in refused(of(kind), nested).got
    encoded = pa.array([1, 1]).dictionary_encode()
    assert "dictionary" in refused(of(kind), encoded).got


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("boolean", pa.array([True, None])),
        ("integer", pa.array([1, None], pa.int32())),
        ("long", pa.array([1, None])),
        ("float", pa.array([1, None], pa.float32())),
        ("double", pa.array([1, None], pa.float64())),
        ("string", pa.array(["a", None])),
        ("string", pa.array(["a", None]).dictionary_encode()),
        ("string", pa.DictionaryArray.from_arrays([0, 1], ["a", None])),
        ("binary", pa.array([b"a", None])),
        ("datetime", pa.array([0, None], pa.timestamp("ns"))),
    ],
)
def test_a_null_is_a_fault_where_the_input_is_required(kind: str, array: Any) -> None:
    """Told with its row, also where the column comes in pieces."""
    error = refused(of(kind), array.slice(0, 1), array)
    assert (error.path, error.row, error.got) == ("columns.x[2]", 2, "null")


def test_nulls_of_optional_inputs_travel_as_they_do_from_json() -> None:
    """NaN and NaT in buffers, None in lists, whole columns of nothing too."""
    optional: dict[str, Any] = {"required": False}
    floats = values(of("float"), pa.array([1, None], pa.float32()), dtype="float32", **optional)
    assert floats[0] == 1
    assert np.isnan(floats[1])
    large = 2**53 + 1
    assert values(of("long"), pa.array([large, None]), **optional) == [large, None]
    assert values(of("boolean"), pa.array([True, None]), **optional) == [True, None]
    assert values(of("string"), pa.array(["a", None]), **optional) == ["a", None]
    moments = values(
        of("datetime"), pa.array([1, None], pa.timestamp("us")), dtype="int64", **optional
    )
    assert moments == [1000, -(2**63)]
    nothing = pa.nulls(2)
    assert values(of("long"), nothing, **optional) == [None, None]
    assert np.isnan(values(of("double"), nothing, dtype="float64", **optional)).all()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("required", [True, False])
def test_what_json_has_no_number_for_is_refused(
    kind: str, number: float, *, required: bool
) -> None:
    """NaN is no missing value: null is."""
    error = refused(of(kind), pa.array([0.5, number], pa.float32()), required=required)
    assert (error.path, error.row) == ("columns.x[1]", 1)
    assert error.expected == "a finite number"


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_strings_of_any_kind_are_strings(kind: pa.DataType) -> None:
    """Views and dictionaries too, in pieces and in slices."""
    words = ["a", "", "a longer one than fits a view", "é", None]
    array = pa.array(words).cast(kind)
    assert values(of("string"), array, array.slice(1, 2), required=False) == words + words[1:3]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view()])
def test_bytes_of_any_kind_are_bytes(kind: pa.DataType) -> None:
    """Of any length or of one."""
    array = pa.array([b"a", b"\xff"]).cast(kind)
    assert values(of("binary"), array, array.slice(1)) == [b"a", b"\xff", b"\xff"]


@pytest.mark.parametrize(
    "kind",
    [*(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")), pa.timestamp("ms", "Asia/Tokyo")],
)
def test_moments_of_any_unit_are_nanoseconds_in_utc(kind: pa.DataType) -> None:
    """Before 1970 too, and a zone changes nothing of the moment."""
    moments = [datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(1953, 5, 29, tzinfo=UTC)]
    if kind.tz is None:
        moments = [moment.replace(tzinfo=None) for moment in moments]
    got = values(of("datetime"), pa.array(moments, kind), dtype="int64")
    wanted = np.array(["2024-02-29T12", "1953-05-29"], "datetime64[ns]")
    assert got == wanted.astype("int64").tolist()


def test_nanoseconds_are_kept() -> None:
    """As JSON keeps them."""
    moment = pa.array([1_735_689_599_999_999_900], pa.timestamp("ns"))
    assert values(of("datetime"), moment, dtype="int64") == [1_735_689_599_999_999_900]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_date_is_its_first_moment(kind: pa.DataType) -> None:
    """As in JSON."""
    got = values(of("datetime"), pa.array([date(1969, 7, 20)], kind), dtype="int64")
    assert got == [int(np.datetime64("1969-07-20", "ns").astype("int64"))]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([0, -9_223_372_800], pa.timestamp("s")),
        pa.array([0, 2**62], pa.timestamp("s")),
        pa.array([0, 2**62], pa.timestamp("us")),
        pa.array([0, 2**31 - 1], pa.date32()),
        pa.array([0, -(2**31)], pa.date32()),
        pa.array([0, 2**63 - 1], pa.timestamp("ns")),
    ],
)
def test_a_moment_beyond_those_that_json_takes_is_refused(array: Any) -> None:
    """Whatever its unit, and without overflowing on the way."""
    assert refused(of("datetime"), array).row == 1


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("double", pa.array([1.5])),
        ("boolean", pa.array([True])),
        ("string", pa.array(["a"])),
        ("string", pa.array(["a"]).cast(pa.string_view())),
        ("string", pa.array(["a"]).dictionary_encode()),
        ("binary", pa.array([b"a"]).cast(pa.binary_view())),
        ("datetime", pa.array([0], pa.timestamp("s"))),
    ],
)
def test_batches_of_no_rows_change_nothing(kind: str, array: Any) -> None:
    """Before, between and behind those that have some."""
    some = pa.record_batch({"x": array})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, some.schema) as writer:
        for batch in (some.slice(0, 0), some, some.slice(0, 0), some, some.slice(0, 0)):
            writer.write_batch(batch)
    inputs = [{"name": "x", "required": True, **of(kind)}]
    contract = contract_for("m", {"inputs": inputs, "outputs": None}, refuse_unknown=False)
    mixed = ArrowRequests(contract).decode(sink.getvalue().to_pybytes(), LIMIT)
    assert mixed == decode(of(kind), array, array)


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.string()), pa.string_view()])
def test_what_is_said_many_times_over_counts_each_time(kind: pa.DataType) -> None:
    """A dictionary or a view makes much of little: it is counted before it is made."""
    column = pa.array(["x" * 1_000]).cast(kind)
    if pa.types.is_dictionary(kind):
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 900, pa.int8()), column.dictionary)
    else:
        _, view, text = column.buffers()
        views = pa.py_buffer(view.to_pybytes()[:16] * 900)
        column = pa.Array.from_buffers(kind, 900, [None, views, text])
    assert len(stream({"x": column})) < 20_000
    assert len(values(of("string"), column, limit=900_000)) == 900
    with pytest.raises(BodyTooLargeError):
        decode(of("string"), column, limit=899_000)


def test_rows_without_any_bytes_are_counted() -> None:
    """A column of nulls has no buffer, however long it is."""
    for count, limit in ((2**31 - 1, LIMIT), (1_000, 7_999)):
        nothing = pa.Array.from_buffers(pa.null(), count, [None])
        with pytest.raises(BodyTooLargeError):
            decode(of("long"), nothing, required=False, limit=limit)
    assert decode(of("long"), pa.nulls(1_000), required=False, limit=8_000).rows == 1_000
