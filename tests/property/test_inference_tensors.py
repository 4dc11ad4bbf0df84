"""Every datatype there and back, in JSON and in binary, as numpy has it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.codecs.bounds import Bounds
from service.codecs.inference.codec import InferenceTensors
from service.codecs.inference.datatypes import DTYPES
from service.contracts.choose import contract_for
from service.contracts.contract import Predictions
from service.core.version_names import VersionNames
from tests.support.inference_bodies import answered, framed, packed, tensor, values_in

NAMES = VersionNames("m", "7", "")
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)


def codec(dtype: str, shape: tuple[int, ...]) -> InferenceTensors:
    """Return the codec of a model of one tensor of such rows."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape[1:]]}}
    signature = {"inputs": [spec], "outputs": None, "params": None}
    return InferenceTensors(contract_for("any", signature, refuse_unknown=False))


def there_and_back(
    datatype: str, dtype: str, shape: tuple[int, ...], data: Any, wanted: bytes
) -> list[Any]:
    """Send a tensor, hold the call against numpy's bytes, and return what an answer of it says."""
    subject = codec(dtype, shape)
    parameters = {"parameters": {"binary_data_output": isinstance(data, bytes)}}
    if isinstance(data, bytes):
        sent: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": list(shape)}
        sent["parameters"] = {"binary_data_size": len(data)}
        body = framed({"inputs": [sent], **parameters}, data)
    else:
        body = framed({"inputs": [tensor("x", datatype, shape, data)], **parameters})
    call, asked = subject.decode(body, Bounds(len(body), 2**30))
    assert call.columns == [wanted]
    given_back = Predictions(shape[0], ["y"], call.columns, [dtype], [list(shape[1:])], [])
    told, binary = answered(subject.encode(given_back, 0, shape[0], asked, NAMES))
    (output,) = told["outputs"]
    assert (output["datatype"], output["shape"]) == (DTYPES_BACK[dtype], list(shape))
    return values_in(told, binary)["y"]


DTYPES_BACK = {dtype: datatype for datatype, dtype in DTYPES.items()}


@pytest.mark.parametrize("datatype", DTYPES)
@settings(max_examples=40)
@given(data=st.data(), shape=SHAPES)
def test_numbers_of_each_datatype(
    datatype: str, data: st.DataObject, shape: tuple[int, ...]
) -> None:
    """Flat, nested and binary are the same call, and come back as they went."""
    dtype = np.dtype(DTYPES[datatype])
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    array = data.draw(npst.arrays(dtype, shape, elements=npst.from_dtype(dtype, **finite)))  # type: ignore[arg-type]
    for sent in (array.tolist(), array.reshape(-1).tolist(), array.tobytes()):
        found = there_and_back(datatype, dtype.name, shape, sent, array.tobytes())
        assert np.array_equal(np.array(found, dtype), array)


@settings(max_examples=40)
@given(shape=SHAPES, data=st.data())
def test_bf16_is_the_upper_half_of_fp32(shape: tuple[int, ...], data: st.DataObject) -> None:
    """So it becomes an FP32 that keeps it."""
    halves = data.draw(npst.arrays("uint16", shape))
    values = (halves.astype("uint32") << 16).view("float32")
    values[~np.isfinite(values)] = 0
    there_and_back(
        "BF16", "float32", shape, packed("BF16", values.reshape(-1).tolist()), values.tobytes()
    )


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=9))
def test_texts(values: list[str]) -> None:
    """As strings and as bytes with their lengths."""
    column = {"type": "string", "name": "x", "required": True}
    signature = {"inputs": [column], "outputs": None, "params": None}
    subject = InferenceTensors(contract_for("any", signature, refuse_unknown=False))
    data = packed("BYTES", values)
    sent = {"name": "x", "datatype": "BYTES", "shape": [len(values)]}
    binary = {**sent, "parameters": {"binary_data_size": len(data)}}
    wants = {"parameters": {"binary_data_output": True}}
    for body in (
        framed({"inputs": [{**sent, "data": values}]}),
        framed({"inputs": [binary], **wants}, data),
    ):
        call, asked = subject.decode(body)
        assert call.columns == [values]
        given_back = Predictions(len(values), ["y"], call.columns, [""], [[]], [])
        answer = answered(subject.encode(given_back, 0, len(values), asked, NAMES))
        assert values_in(*answer)["y"] == values
