"""Tensors in: what a contract's inputs may be sent as, and what is refused, and where."""

import json
from typing import Any

import numpy as np
import pytest

from service.codecs.bounds import Bounds
from service.codecs.inference.codec import InferenceTensors
from service.codecs.inference.request import Asked
from service.contracts.choose import contract_for
from service.contracts.contract import Call
from service.core.errors import (
    BodyTooLargeError,
    ContractViolationError,
    MalformedBodyError,
    ServiceError,
)
from tests.support.inference_bodies import framed, packed, tensor


def codec(*inputs: dict[str, Any], refuse: bool = False, **more: Any) -> InferenceTensors:
    """Return the codec of a model of these inputs."""
    signature = {"inputs": list(inputs), "outputs": None, "params": None, **more}
    return InferenceTensors(contract_for("any", signature, refuse_unknown=refuse))


def column(kind: str, name: str = "a", *, required: bool = True, **more: Any) -> dict[str, Any]:
    """Return a column as a signature has it."""
    return {"type": kind, "name": name, "required": required, **more}


def a_tensor(dtype: str, *shape: int, **name: str) -> dict[str, Any]:
    """Return a tensor as a signature has it."""
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **name}


def call(subject: InferenceTensors, *tensors: dict[str, Any], **more: Any) -> Call:
    """Decode a request in JSON."""
    return subject.decode(framed({"inputs": list(tensors), **more}))[0]


def call_of_binary(subject: InferenceTensors, datatype: str, shape: list[int], data: bytes) -> Call:
    """Decode a request with one binary tensor."""
    sent = {
        "name": "a",
        "datatype": datatype,
        "shape": shape,
        "parameters": {"binary_data_size": len(data)},
    }
    return subject.decode(framed({"inputs": [sent]}, data))[0]


DOUBLES = np.array([1.0, 2.0]).tobytes()


@pytest.mark.parametrize(
    "sent",
    [
        tensor("a", "FP64", [2], [1.0, 2.0]),
        tensor("a", "FP64", [2, 1], [1.0, 2.0]),
        tensor("a", "FP64", [2, 1], [[1.0], [2.0]]),
        tensor("a", "FP32", [2], [1, 2]),
        tensor("a", "FP16", [2], [1, 2]),
        tensor("a", "INT64", [2], [1, 2]),
        tensor("a", "UINT8", [2], [1, 2]),
        tensor("a", "UINT64", [2], [1, 2]),
    ],
)
def test_a_column_may_come_flat_or_nested_and_by_any_number_that_is_kept(
    sent: dict[str, Any],
) -> None:
    """As one column of the model's own type."""
    assert call(codec(column("double")), sent).columns == [DOUBLES]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "BF16", "INT8", "UINT16", "UINT64"])
def test_binary_numbers_are_cast_where_they_are_kept(datatype: str) -> None:
    """BF16 too, which has no other form."""
    data = packed(datatype, [1, 2])
    assert call_of_binary(codec(column("double")), datatype, [2], data).columns == [DOUBLES]


@pytest.mark.parametrize(
    ("kind", "datatype", "values", "row"),
    [
        ("long", "FP64", [1.0, 1.5], 1),
        ("long", "FP64", [float("nan"), 1.0], 0),
        ("long", "FP64", [1.0, 2.0**63], 1),
        ("long", "UINT64", [1, 2**63], 1),
        ("integer", "INT64", [2**31, 0], 0),
        ("integer", "INT64", [0, -(2**31) - 1], 1),
        ("integer", "FP32", [0, 2**31], 1),
        ("double", "INT64", [0, 2**53 + 1], 1),
        ("double", "INT64", [0, 2**63 - 1], 1),
        ("double", "UINT64", [0, 2**64 - 1], 1),
        ("float", "INT32", [0, 2**24 + 1], 1),
        ("float", "FP64", [0.1, 0.5], 0),
        ("float", "FP64", [0.5, 1e300], 1),
        ("double", "FP64", [0.5, float("inf")], 1),
        ("double", "FP32", [float("nan"), 0], 0),
    ],
)
def test_a_number_that_would_not_be_kept_is_refused(
    kind: str, datatype: str, values: list[Any], row: int
) -> None:
    """With the tensor and the row."""
    with pytest.raises(ContractViolationError) as refused:
        call_of_binary(codec(column(kind)), datatype, [2], packed(datatype, values))
    assert (refused.value.path, refused.value.row) == (f"inputs.a[{row}]", row)


@pytest.mark.parametrize(
    ("kind", "datatype", "values"),
    [
        ("long", "FP64", [1.0, -(2.0**63)]),
        ("integer", "INT64", [2**31 - 1, -(2**31)]),
        ("double", "INT64", [2**53, -(2**62)]),
        ("double", "UINT64", [2**63, 2**64 - 2048]),
        ("float", "FP64", [0.5, -3.0]),
        ("float", "INT32", [2**24, 0]),
    ],
)
def test_a_number_that_is_kept_is_taken(kind: str, datatype: str, values: list[Any]) -> None:
    """Up to the last that is."""
    dtype = {"long": "i8", "integer": "i4", "double": "f8", "float": "f4"}[kind]
    found = call_of_binary(codec(column(kind)), datatype, [2], packed(datatype, values))
    assert found.columns == [np.array(values, dtype).tobytes()]


def test_a_number_in_json_becomes_the_nearest_of_the_models_type() -> None:
    """As in the other forms of JSON: it has no width of its own."""
    found = call(codec(column("float")), tensor("a", "FP64", [2], [0.1, 1]))
    assert found.columns == [np.array([0.1, 1], "f4").tobytes()]


def test_texts_come_as_strings_and_as_bytes() -> None:
    """With their lengths in front."""
    subject = codec(column("string"))
    values = ["a", "", "größe"]
    assert call(subject, tensor("a", "BYTES", [3], values)).columns == [values]
    binary = call_of_binary(subject, "BYTES", [3, 1], packed("BYTES", values))
    assert binary.columns == [values]
    with pytest.raises(ContractViolationError) as refused:
        call_of_binary(subject, "BYTES", [2], packed("BYTES", ["a", b"\xff"]))
    assert refused.value.path == "inputs.a[1]"


def test_bytes_come_raw_in_binary_and_as_base64_where_that_is_said() -> None:
    """As MLServer's clients say it; else a string's UTF-8."""
    subject = codec(column("binary"))
    assert call_of_binary(subject, "BYTES", [1], packed("BYTES", [b"\xff\0"])).columns == [
        [b"\xff\0"]
    ]
    assert call(subject, tensor("a", "BYTES", [1], ["é"])).columns == [["é".encode()]]
    base64 = {"content_type": "base64"}
    assert call(subject, tensor("a", "BYTES", [1], ["/wA="], parameters=base64)).columns == [
        [b"\xff\0"]
    ]
    with pytest.raises(ContractViolationError):
        call(subject, tensor("a", "BYTES", [1], ["/"], parameters=base64))


def test_moments_and_nested_values_are_texts() -> None:
    """RFC 3339, and JSON."""
    moments = call(codec(column("datetime")), tensor("a", "BYTES", [1], ["2024-01-01T00:00:01Z"]))
    assert moments.columns == [np.array(["2024-01-01T00:00:01"], "datetime64[ns]").tobytes()]
    subject = codec(column("array", items={"type": "long"}))
    assert call(subject, tensor("a", "BYTES", [2], ["[1,2]", "[]"])).columns == [[[1, 2], []]]
    with pytest.raises(ContractViolationError) as refused:
        call(subject, tensor("a", "BYTES", [2], ["[1]", '["x"]']))
    assert (refused.value.path, refused.value.row) == ("inputs.a[1][0]", 1)
    with pytest.raises(ContractViolationError) as refused:
        call(codec(column("datetime")), tensor("a", "BYTES", [2], ["2024-01-01", "soon"]))
    assert refused.value.path == "inputs.a[1]"


def test_what_is_missing_in_an_optional_column_is_null_or_nan() -> None:
    """And a tensor of it may be left out."""
    both = codec(column("double"), column("long", "b", required=False))
    first = tensor("a", "FP64", [2], [1, 2])
    assert call(both, first).columns == [DOUBLES, []]
    null = call(both, first, tensor("b", "INT64", [2], [None, 7]))
    nan = call(both, first, tensor("b", "FP64", [2], [None, 7.0]))
    assert null.columns == nan.columns == [DOUBLES, [None, 7]]
    optional = codec(column("double", required=False))
    data = packed("FP64", [float("nan"), 1])
    (found,) = call_of_binary(optional, "FP64", [2], data).columns
    assert isinstance(found, bytes)
    assert np.array_equal(np.frombuffer(found), [np.nan, 1], equal_nan=True)
    assert call(optional, tensor("a", "FP64", [2], [None, 1])).columns == [found]
    with pytest.raises(ContractViolationError) as refused:
        call(codec(column("double")), tensor("a", "FP64", [2], [1, None]))
    assert (refused.value.path, refused.value.row) == ("inputs.a[1]", 1)


def test_columns_without_names_are_one_tensor() -> None:
    """Of whatever name; a fault tells its row."""
    subject = codec({"type": "double"}, {"type": "long"})
    sent = tensor("x", "INT64", [2, 2], [[1, 3], [2, 4]])
    assert call(subject, sent).columns == [DOUBLES, np.array([3, 4]).tobytes()]
    assert call(subject, tensor("x", "FP64", [2, 2], [1, 3, 2, 4])).columns == [
        DOUBLES,
        np.array([3, 4]).tobytes(),
    ]
    with pytest.raises(ContractViolationError) as refused:
        call(subject, tensor("x", "FP64", [2, 2], [1, 3, 2, 4.5]))
    assert refused.value.path == "inputs.x[1]"
    with pytest.raises(ContractViolationError, match=r"\[rows, 2\]"):
        call(subject, tensor("x", "FP64", [2, 1], [1, 3]))


def test_tensors_are_as_the_signature_has_them() -> None:
    """One without a name by any name, several by theirs; flat or nested."""
    single = codec(a_tensor("float32", -1, 2, 2))
    flat = list(range(8))
    wanted = [np.array(flat, "f4").tobytes()]
    nested = [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    for data in (flat, nested):
        assert call(single, tensor("input-0", "FP32", [2, 2, 2], data)).columns == wanted
    with pytest.raises(ContractViolationError) as refused:
        call(single, tensor("x", "FP32", [2, 2, 2], [[[0, 1], [2, 3]], [[4, 5], [6]]]))
    assert refused.value.path == "inputs.x[1]"
    with pytest.raises(ContractViolationError, match=r"\[rows, 2, 2\]"):
        call(single, tensor("x", "FP32", [2, 4], flat))
    several = codec(a_tensor("int64", -1, name="i"), a_tensor("str", -1, 2, name="s"))
    found = call(several, tensor("s", "BYTES", [1, 2], ["a", "b"]), tensor("i", "INT64", [1], [5]))
    assert found.columns == [np.array([5]).tobytes(), [["a", "b"]]]


def test_what_a_request_says_of_its_answer_is_kept() -> None:
    """Its id, its outputs, whether they are binary, and the name that the model was asked by."""
    body = {
        "id": "7",
        "inputs": [tensor("a", "FP64", [1], [1])],
        "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True, "content_type": "pd", "timeout": 5, "x": []},
    }
    _, asked = codec(column("double")).decode(framed(body, model="größe"))
    assert isinstance(asked, Asked)
    assert (asked.id, asked.model, asked.kind, asked.binary) == ("7", "größe", "pd", True)
    assert asked.outputs == (("y", True), ("z", False))


def test_a_models_params_are_the_requests_parameters() -> None:
    """Those that it has; the protocol's own are none of them."""
    params = [{"name": "t", "type": "double", "default": 0.5, "shape": None}]
    subject = codec(column("double"), params=params, refuse=True)
    first = tensor("a", "FP64", [1], [1])
    assert call(subject, first).params == {"t": 0.5}
    assert call(subject, first, parameters={"t": 2, "timeout": 5}).params == {"t": 2.0}
    with pytest.raises(ContractViolationError, match="t"):
        call(subject, first, parameters={"t": "x"})


GOOD = tensor("a", "FP64", [2], [1, 2])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": [GOOD, GOOD]}, "one tensor of this name"),
        ({"inputs": []}, "a tensor of this name"),
        ({"inputs": [tensor("b", "FP64", [2], [1, 2])]}, "inputs.a"),
        ({"inputs": [{**GOOD, "datatype": "FP128"}]}, "BF16"),
        ({"inputs": [{**GOOD, "datatype": "BF16"}]}, "binary"),
        ({"inputs": [{**GOOD, "datatype": "BOOL", "data": [True, False]}]}, "numbers"),
        ({"inputs": [tensor("a", "BYTES", [2], ["1", "2"])]}, "numbers"),
        ({"inputs": [{**GOOD, "shape": [3]}]}, "3 elements"),
        ({"inputs": [{**GOOD, "shape": [0]}]}, "at least 1"),
        ({"inputs": [{**GOOD, "shape": [-1]}]}, "at least 1"),
        ({"inputs": [{**GOOD, "shape": []}]}, "dimensions"),
        ({"inputs": [{**GOOD, "shape": [1, 2]}]}, "[rows] or [rows, 1]"),
        ({"inputs": [{**GOOD, "data": "x"}]}, "an array"),
        ({"inputs": [{**GOOD, "data": [[1, 2]]}]}, "inputs.a"),
        ({"inputs": [{"name": "a", "shape": [2], "datatype": "FP64"}]}, "binary_data_size"),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 0}}]}, "both"),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": -1}}]}, "at least 0"),
        ({"inputs": [{**GOOD, "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
        ({"inputs": [GOOD], "outputs": [{"name": "y"}, {"name": "y"}]}, "once"),
        ({"inputs": [GOOD], "parameters": {"binary_data_output": 1}}, "a boolean"),
        (
            {"inputs": [GOOD], "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
            "no classification",
        ),
    ],
)
def test_a_request_that_is_none_is_told_so(body: dict[str, Any], told: str) -> None:
    """By a sentence that names the place."""
    with pytest.raises(ContractViolationError) as refused:
        codec(column("double")).decode(framed(body))
    assert told in str(refused.value)


def test_other_tensors_are_ignored_or_refused_as_the_setting_says() -> None:
    """As other fields are."""
    other = tensor("other", "FP64", [2], [1, 2])
    assert call(codec(column("double")), GOOD, other).columns == [DOUBLES]
    with pytest.raises(ContractViolationError, match=r"inputs\.other"):
        call(codec(column("double"), refuse=True), GOOD, other)
    long = tensor("b", "FP64", [3], [1, 2, 3])
    with pytest.raises(ContractViolationError, match="2 rows, as a has"):
        call(codec(column("double"), column("double", "b")), GOOD, long)


def binary(size: int, data: bytes, shape: list[int], datatype: str = "FP64") -> bytes:
    """Return a request with a tensor that says that it has so many bytes."""
    sent = {"name": "a", "shape": shape, "datatype": datatype}
    return framed({"inputs": [{**sent, "parameters": {"binary_data_size": size}}]}, data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 30,
        framed(b""),
        framed(b'{"inputs": ['),
        binary(16, bytes(8), [2]),
        binary(8, bytes(16), [1]),
        binary(8, bytes(8), [2]),
        binary(0, b"", [1]),
        binary(4, bytes(4), [2], "BYTES"),
        binary(4, b"\xff\xff\xff\xff", [1], "BYTES"),
        binary(5, bytes(5), [1], "BYTES"),
    ],
)
def test_a_body_whose_bytes_are_not_those_it_speaks_of_is_malformed(body: bytes) -> None:
    """Whichever part is too long or too short."""
    kind = codec(column("double"), column("double", "b", required=False))
    texts = codec(column("string"))
    with pytest.raises((MalformedBodyError, ContractViolationError)):
        (texts if b"BYTES" in body else kind).decode(body)


def test_a_byte_that_is_no_boolean_is_refused() -> None:
    """It would be true for one reader and 2 for another."""
    assert call_of_binary(codec(column("boolean")), "BOOL", [2], b"\1\0").columns == [b"\1\0"]
    with pytest.raises(ContractViolationError) as refused:
        call_of_binary(codec(column("boolean")), "BOOL", [2], b"\1\2")
    assert refused.value.path == "inputs.a[1]"


@pytest.mark.parametrize(
    "sent",
    [
        tensor("a", "FP64", [2**40], [1]),
        tensor("a", "FP64", [2**20] * 16, [1]),
        tensor("a", "FP64", [2**62, 2**62], [1]),
    ],
)
def test_a_shape_that_no_body_holds_is_refused_before_anything_is_made(
    sent: dict[str, Any],
) -> None:
    """Whatever it multiplies to."""
    body = framed({"inputs": [sent]})
    with pytest.raises(BodyTooLargeError):
        codec(column("double")).decode(body, Bounds(len(body), 10**6))


def test_many_small_arrays_and_texts_are_bounded() -> None:
    """Each takes far more memory than it took in the body."""
    nested = json.dumps({"inputs": [tensor("a", "FP64", [1], [[]] * 100_001)]}).encode()
    body = framed(nested)
    with pytest.raises(BodyTooLargeError, match="arrays"):
        codec(column("double")).decode(body, Bounds(len(body), 1))
    count = 99_000
    texts = binary(4 * count, bytes(4 * count), [count], "BYTES")
    with pytest.raises(BodyTooLargeError, match="decoded"):
        codec(column("string")).decode(texts, Bounds(len(texts), 10**6))


def test_a_large_body_is_told_by_its_commas_and_its_bytes() -> None:
    """The event loop is held by neither; a wrong frame costs nothing."""
    subject = codec(column("double"))
    assert not subject.is_costly(framed({"inputs": [GOOD]}))
    assert subject.is_costly(framed({"inputs": [tensor("a", "FP64", [20_000], [1] * 20_000)]}))
    assert subject.is_costly(binary(100_000, bytes(100_000), [12_500]))
    assert not subject.is_costly(b"\xff" * 100_000)
    many = [tensor(f"c{index}", "FP64", [1], [1]) for index in range(400)]
    assert subject.is_costly(framed({"inputs": many}))
    outputs = [{"type": "double", "name": f"y{index}"} for index in range(301)]
    assert codec(column("double"), outputs=outputs).is_costly(framed({"inputs": [GOOD]}))


def test_no_shape_is_read_as_another_one() -> None:
    """A text where a number belongs, and the like, are told with their place."""
    for field, value in (("name", 1), ("shape", ["2"]), ("shape", 2), ("datatype", 64)):
        with pytest.raises(ServiceError, match=field):
            call(codec(column("double")), {**GOOD, field: value})
