"""Messages are read and written as protobuf's own library reads and writes them."""

import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.codecs.bounds import Bounds
from service.codecs.inference import wire
from service.codecs.inference.datatypes import DTYPES
from service.codecs.inference.message import read_head, read_message
from service.codecs.inference.message_codec import InferenceMessages
from service.contracts.choose import contract_for
from service.contracts.contract import Predictions
from service.core.errors import ContractViolationError, MalformedBodyError
from service.core.version_names import VersionNames
from service.handlers.grpc.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
)
from tests.support.inference_bodies import packed
from tests.support.inference_messages import FIELDS, Input, answered, typed

NAMES = VersionNames("m", "7", "")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)
SIGNED = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=20)
PARAMETERS = st.dictionaries(
    TEXTS,
    st.one_of(
        st.builds(lambda value: InferParameter(bool_param=value), st.booleans()),
        st.builds(
            lambda value: InferParameter(int64_param=value), st.integers(-(2**63), 2**63 - 1)
        ),
        st.builds(lambda value: InferParameter(uint64_param=value), st.integers(0, 2**64 - 1)),
        st.builds(lambda value: InferParameter(string_param=value), TEXTS),
        st.builds(lambda value: InferParameter(double_param=value), FINITE),
    ),
    max_size=3,
)


def given_parameters(raw: Any) -> dict[str, Any]:
    """Return parameters as protobuf has them, with the value of each."""
    return {name: getattr(one, one.WhichOneof("parameter_choice")) for name, one in raw.items()}


@st.composite
def requests(draw: st.DrawFn) -> Any:
    """Return a request of any kind, raw or typed."""
    names = draw(st.lists(TEXTS, unique=True, max_size=4))
    request = ModelInferRequest(
        model_name=draw(TEXTS),
        model_version=draw(TEXTS),
        id=draw(TEXTS),
        parameters=draw(PARAMETERS),
        outputs=[
            ModelInferRequest.InferRequestedOutputTensor(name=name, parameters=draw(PARAMETERS))
            for name in draw(st.lists(TEXTS, max_size=3))
        ],
    )
    is_raw = draw(st.booleans())
    for name in names:
        sent = Input(
            name=name,
            datatype=draw(st.sampled_from(["FP64", "BYTES", "no type"])),
            shape=draw(st.lists(SIGNED, max_size=4)),
            parameters=draw(PARAMETERS),
        )
        if is_raw:
            request.raw_input_contents.append(draw(st.binary(max_size=300)))
        else:
            sent.contents.CopyFrom(InferTensorContents(int64_contents=[1]))
        request.inputs.append(sent)
    return request


@settings(max_examples=150)
@given(request=requests())
def test_a_request_is_read_as_protobuf_reads_it(request: Any) -> None:
    """Its names, parameters, inputs, outputs and bytes."""
    written = request.SerializeToString()
    head = read_head(written)
    assert (head.model, head.version) == (request.model_name, request.model_version)
    model, found, tensors = read_message(written)
    assert (model, found.id or "") == (request.model_name, request.id)
    assert read_back(found.parameters) == given_parameters(request.parameters)
    assert [one.name for one in found.outputs or ()] == [one.name for one in request.outputs]
    assert list(tensors) == [one.name for one in request.inputs]
    for index, sent in enumerate(request.inputs):
        tensor, data, contents = tensors[sent.name]
        assert (tensor.datatype, tensor.shape) == (sent.datatype, list(sent.shape))
        assert read_back(tensor.parameters) == given_parameters(sent.parameters)
        assert (data is None) == (not request.raw_input_contents)
        if data is None:
            assert contents is not None
        else:
            assert bytes(data) == request.raw_input_contents[index]


def read_back(parameters: Any) -> dict[str, Any]:
    """Return parameters as JSON says them."""
    return {name: msgspec.json.decode(bytes(raw)) for name, raw in (parameters or {}).items()}


@settings(max_examples=300)
@given(request=requests(), data=st.data())
def test_what_is_broken_is_malformed_for_both_or_read_alike(
    request: Any, data: st.DataObject
) -> None:
    """Only groups are refused here which protobuf skips; all else that is refused both refuse."""
    written = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if written:
            at = data.draw(st.integers(0, len(written) - 1))
            written[at] = data.draw(st.integers(0, 255))
    try:
        told = ModelInferRequest.FromString(bytes(written))
    except DecodeError:
        told = None
    try:
        head = read_head(bytes(written))
        message = read_message(bytes(written))
    except (MalformedBodyError, ContractViolationError):
        return
    if told is not None:
        assert (head.model, head.version) == (told.model_name, told.model_version)
        assert len(message.tensors) == len(told.inputs)


@settings(max_examples=100)
@given(values=st.lists(st.integers(0, 2**64 - 1)), cut=st.integers(1, 9))
def test_numbers_are_read_together_as_one_by_one(values: list[int], cut: int) -> None:
    """And what ends in the midst of one is malformed."""
    data = b"".join(map(wire.varint_of, values))
    assert wire.varints(memoryview(data), "uint64").tolist() == values
    signed = [wire.signed(value) for value in values]
    assert wire.varints(memoryview(data), "int64").tolist() == signed
    if values and values[-1] >= 2 ** (7 * cut):
        with pytest.raises(MalformedBodyError):
            wire.varints(memoryview(data)[:-cut], "int64")


def test_many_numbers_are_read_in_parts() -> None:
    """The end of a part may be in the midst of a number."""
    values = np.arange(100_000, dtype="u8") * 2**40
    data = b"".join(map(wire.varint_of, values.tolist()))
    assert np.array_equal(wire.varints(memoryview(data), "uint64"), values)


def codec(dtype: str, shape: tuple[int, ...]) -> InferenceMessages:
    """Return the codec of a model of one tensor of such rows."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape[1:]]}}
    signature = {"inputs": [spec], "outputs": None, "params": None}
    return InferenceMessages(contract_for("any", signature, refuse_unknown=False))


@pytest.mark.parametrize("datatype", DTYPES)
@settings(max_examples=30)
@given(data=st.data(), shape=SHAPES)
def test_numbers_of_each_datatype(
    datatype: str, data: st.DataObject, shape: tuple[int, ...]
) -> None:
    """Raw and typed are the same call, and come back as they went, raw."""
    dtype = np.dtype(DTYPES[datatype])
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    values = data.draw(npst.arrays(dtype, shape, elements=finite or None))
    flat = values.reshape(-1).tolist()
    subject = codec(dtype.name, shape)
    sent = [
        ModelInferRequest(
            inputs=[Input(name="x", datatype=datatype, shape=shape)],
            raw_input_contents=[values.tobytes()],
        )
    ]
    if datatype in FIELDS:
        sent.append(ModelInferRequest(inputs=[typed("x", datatype, shape, flat)]))
    for request in sent:
        body = request.SerializeToString()
        call, asked = subject.decode(body, Bounds(len(body), 2**30))
        assert call.columns == [values.tobytes()]
        back = Predictions(shape[0], ["y"], call.columns, [dtype.name], [list(shape[1:])], [])
        found, version = answered(subject.encode(back, 0, shape[0], asked, NAMES))
        assert version == "7"
        assert found["y"] == values.tolist()


def test_bf16_is_the_upper_half_of_fp32() -> None:
    """It comes raw, as FP16 does: neither has a field."""
    subject = codec("float32", (2,))
    request = ModelInferRequest(
        inputs=[Input(name="x", datatype="BF16", shape=[2])],
        raw_input_contents=[packed("BF16", [1.5, -2.0])],
    )
    call, _ = subject.decode(request.SerializeToString())
    assert call.columns == [struct.pack("<2f", 1.5, -2.0)]
    for datatype in ("BF16", "FP16"):
        sent = Input(name="x", datatype=datatype, shape=[2])
        sent.contents.fp32_contents.extend([1.5, -2.0])
        with pytest.raises(ContractViolationError, match="raw_input_contents, which alone has it"):
            subject.decode(ModelInferRequest(inputs=[sent]).SerializeToString())
