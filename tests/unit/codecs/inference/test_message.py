"""Messages of gRPC: what they may say, in which order, and what is refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from service.codecs.bounds import Bounds
from service.codecs.inference.message import read_head, read_message
from service.codecs.inference.message_codec import InferenceMessages
from service.codecs.inference.wire import field, varint_of
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Predictions
from service.core.errors import (
    BodyTooLargeError,
    ContractViolationError,
    MalformedBodyError,
    NotAcceptableError,
)
from service.core.version_names import VersionNames
from service.handlers.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from tests.support.inference_messages import Input, typed

NAMES = VersionNames("registered", "7", "")
EMPTY_INPUT = b"\x2a\x00"
UNKNOWN = b"\x4a\x00"


def codec(*inputs: dict[str, Any], **more: Any) -> InferenceMessages:
    """Return the codec of a model of these inputs."""
    signature = {"inputs": list(inputs), "outputs": None, "params": None, **more}
    return InferenceMessages(contract_for("any", signature, refuse_unknown=False))


def column(kind: str, name: str = "a", *, required: bool = True) -> dict[str, Any]:
    """Return a column as a signature has it."""
    return {"type": kind, "name": name, "required": required}


def decoded(subject: InferenceMessages, *inputs: Any, **more: Any) -> Call:
    """Decode a request of these inputs."""
    body = ModelInferRequest(inputs=inputs, **more).SerializeToString()
    return subject.decode(body, Bounds(len(body), 2**26))[0]


def test_fields_may_come_in_any_order_and_in_parts() -> None:
    """The last of a field counts; contents in parts are one; unknown fields are skipped."""
    first, second = (
        field(5, b"".join(b"\x39" + np.float64(value).tobytes() for value in values))
        for values in ([1.0], [2.0, 3.0])
    )
    unknown = varint_of(99 << 3 | 2) + b"\x03new"
    described = b"\x18" + varint_of(3) + unknown + second + field(1, b"a")
    sent = first + field(2, b"FP64") + described
    body = field(5, sent) + field(3, b"other") + field(1, b"m") + field(3, b"7") + b"\x80\x7d\x01"
    call, asked = codec(column("double")).decode(body)
    assert call.columns == [np.array([1.0, 2.0, 3.0]).tobytes()]
    told = msgspec.structs.asdict(asked)
    assert (told["model"], told["id"], told["binary"]) == ("m", "7", True)


def test_a_messages_head_is_read_among_its_first_fields() -> None:
    """Behind very many others it is refused, and nothing else is."""
    head = field(1, b"m") + field(2, b"3")
    assert read_head(UNKNOWN * 4_000 + head)[:2] == ("m", "3")
    late = UNKNOWN * 4_096 + head
    assert read_head(late)[:2] == ("", "")
    with pytest.raises(MalformedBodyError, match="among the first 4096 fields"):
        read_message(late)
    with pytest.raises(BodyTooLargeError, match="over 262144 fields"):
        read_message(b"\x3a\x00" * 262_145)


@pytest.mark.parametrize(
    ("inputs", "raw", "path", "expected"),
    [
        ([Input(name="a", datatype="FP64", shape=[1])], [], "inputs.a", "its contents, or raw"),
        ([typed("a", "FP64", [2], [1.0])], [], "inputs.a", "2 elements, as its shape has"),
        ([typed("a", "INT8", [2], [1, 300])], [], "inputs.a[1]", "an integer that fits INT8"),
        ([typed("a", "UINT16", [1], [2**16])], [], "inputs.a[0]", "an integer that fits UINT16"),
        ([typed("a", "FP32", [1], [1.0])] * 2, [], "inputs.a", "one tensor of this name"),
        ([typed("a", "FP64", [1], [1.0])], [bytes(8)], "inputs.a", "raw_input_contents or cont"),
        ([Input(name="a")], [b"", b""], "raw_input_contents", "one for each of 1 inputs"),
        ([Input(name="a", datatype="what", shape=[1])], [b""], "inputs.a.datatype", "one of BOOL"),
        ([typed("a", "FP64", [-1], [1.0])], [], "inputs.a.shape", "dimensions of at least 1"),
        ([typed("a", "FP64", [], [1.0])], [], "inputs.a.shape", "1 to 16 dimensions"),
    ],
)
def test_what_a_message_may_not_say_is_refused(
    inputs: list[Any], raw: list[bytes], path: str, expected: str
) -> None:
    """With the tensor, and the row where there is one."""
    with pytest.raises(ContractViolationError) as refused:
        decoded(codec(column("double")), *inputs, raw_input_contents=raw)
    assert refused.value.path == path
    assert refused.value.expected.startswith(expected)


def test_elements_are_in_the_field_of_their_type() -> None:
    """Another one's is refused, by the names of both."""
    sent = Input(name="a", datatype="FP64", shape=[1])
    sent.contents.fp32_contents.append(1.0)
    with pytest.raises(ContractViolationError, match="expected fp64_contents for FP64, got fp32_c"):
        decoded(codec(column("double")), sent)


@pytest.mark.parametrize("value", [True, -5, 2**63, "x", 1.5])
def test_a_models_params_are_parameters_of_any_type(value: Any) -> None:
    """Its signature says which, and of which type; the protocol has others beside them."""
    types = {bool: "boolean", int: "long", str: "string", float: "double"}
    kind = types[type(value)] if value != 2**63 else "double"
    param = {"name": "p", "type": kind, "default": None, "shape": None}
    fields = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    request = ModelInferRequest(inputs=[typed("a", "FP64", [1], [1.0])])
    name = fields[type(value)] if value != 2**63 else "uint64_param"
    setattr(request.parameters["p"], name, value)
    request.parameters["sequence_id"].int64_param = 7
    call, _ = codec(column("double"), params=[param]).decode(request.SerializeToString())
    assert call.params == {"p": value}


def test_bytes_are_texts_moments_and_json() -> None:
    """In their field, as they come; a length in front of each is of raw contents alone."""
    subject = codec(column("string"), column("binary", "b"))
    raw = typed("b", "BYTES", [2], [b"\xff", b""])
    call = decoded(subject, typed("a", "BYTES", [2], ["ä", ""]), raw)
    assert call.columns == [["ä", ""], [b"\xff", b""]]
    with pytest.raises(ContractViolationError, match=r"inputs.a\[1\]: expected a text in UTF-8"):
        decoded(subject, typed("a", "BYTES", [2], ["ä", b"\xff"]), raw)


def answer(values: Any, dtype: str = "", shape: tuple[int, ...] = ()) -> Any:
    """Return the message that answers with one output of these values."""
    subject = codec(column("double"))
    _, asked = subject.decode(
        ModelInferRequest(
            model_name="asked", id="7", inputs=[typed("a", "FP64", [2], [1.0, 2.0])]
        ).SerializeToString()
    )
    predictions = Predictions(2, ["y"], [values], [dtype], [list(shape)], [])
    return ModelInferResponse.FromString(subject.encode(predictions, 0, 2, asked, NAMES))


def test_an_answer_is_raw_and_says_what_bytes_hold() -> None:
    """Names, version and id; a length in front of each text."""
    told = answer(["x", None])
    assert (told.model_name, told.model_version, told.id) == ("asked", "7", "7")
    (output,) = told.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "BYTES", [2])
    assert output.parameters["content_type"].string_param == "str"
    assert list(told.raw_output_contents) == [b"\x01\0\0\0x\0\0\0\0"]
    wide = answer(np.arange(6.0).tobytes(), "float64", (3,))
    assert list(wide.outputs[0].shape) == [2, 3]
    assert wide.raw_output_contents[0] == np.arange(6.0).tobytes()


def test_what_has_no_form_in_bytes_is_not_acceptable() -> None:
    """Integers of which some are missing; REST says them in JSON."""
    with pytest.raises(NotAcceptableError, match="INT64 can't say in binary"):
        answer([1, None])


def test_what_was_kept_of_a_message_is_no_other_ones() -> None:
    """Values differ where all else is the same; all else differs where values are the same."""
    subject = codec(column("double"))
    for name in ("m", "n"):
        for value in (1.0, 2.0):
            sent = Input(name="a", datatype="FP64", shape=[1])
            raw = np.float64(value).tobytes()
            request = ModelInferRequest(model_name=name, inputs=[sent], raw_input_contents=[raw])
            call, asked = subject.decode(request.SerializeToString())
            assert (call.columns, msgspec.structs.asdict(asked)["model"]) == ([raw], name)


def test_raw_contents_may_stand_anywhere() -> None:
    """Before, between and behind inputs."""
    subject = codec(column("double"), column("double", "b"))
    first, second = (
        field(5, Input(name=name, datatype="FP64", shape=[1]).SerializeToString()) for name in "ab"
    )
    one, two = (field(7, np.float64(value).tobytes()) for value in (1.0, 2.0))
    wanted = [np.float64(1.0).tobytes(), np.float64(2.0).tobytes()]
    for parts in ((one, two, first, second), (first, one, second, two), (first, second, one, two)):
        assert subject.decode(b"".join(parts))[0].columns == wanted


def test_messages_of_many_parts_are_for_workers() -> None:
    """By their bytes, and by their fields."""
    subject = codec(column("double"))
    assert not subject.is_costly(typed("a", "FP64", [1], [1.0]).SerializeToString())
    assert subject.is_costly(field(7, bytes(1_000_000)))
    assert subject.is_costly(EMPTY_INPUT * 2_000)
