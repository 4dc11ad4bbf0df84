"""A request of the protocol as a message of protobuf, `inference.ModelInferRequest`."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from service.codecs.inference import wire
from service.codecs.inference.contents import Contents
from service.codecs.inference.request import (
    InferRequest,
    InputTensor,
    OutputWish,
    Parameters,
    Sent,
    check_input,
)
from service.codecs.inference.timeout import TIMEOUT
from service.core.errors import BodyTooLargeError, ContractViolationError, MalformedBodyError

_PARAMETERS, _INPUTS, _OUTPUTS, _RAW = range(4, 8)
_LAST_OF_HEAD = _PARAMETERS
_HEAD_FIELDS = 4_096
"""A field of the head that comes behind so many others is refused: libraries write it first."""
_MOST_FIELDS = 262_144
"""Of a message; each takes some 100 bytes."""
_KNOWN_BYTES = 256
"""A description of an input that is no longer is kept: the next request has the same."""


class Head(NamedTuple):
    """What has to be known of a request before a version's codec reads it."""

    model: str
    version: str
    timeout: msgspec.Raw | None
    """Its parameter of that name, as JSON."""


class Message(NamedTuple):
    """A request: what it says, and each tensor by its name."""

    model: str
    request: InferRequest
    tensors: dict[str, Sent]


class _HeadReader:
    """Takes the fields that stand in front of tensors, and keeps the last of each."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._texts = ["", "", ""]
        self.parameters: Parameters = {}

    def take(self, number: int, start: int, stop: int) -> None:
        """Read one of them. Raise MalformedBodyError."""
        if number == _PARAMETERS:
            _read_parameter(self._data, start, stop, self.parameters)
        else:
            name = ("model_name", "model_version", "id")[number - 1]
            self._texts[number - 1] = wire.text_of(self._data, start, stop, name)

    @property
    def texts(self) -> tuple[str, str, str]:
        """The model's name, its version, and the request's id."""
        model, version, name = self._texts
        return model, version, name


def read_head(data: bytes) -> Head:
    """Return what a message begins with; of its fields only the first ones are looked at.

    Raise MalformedBodyError.
    """
    head = _HeadReader(data)
    for count, (number, kind, start, stop) in enumerate(wire.fields(data, 0, len(data))):
        if count == _HEAD_FIELDS:
            break
        if number <= _LAST_OF_HEAD and kind == wire.LENGTH:
            head.take(number, start, stop)
    model, version, _ = head.texts
    return Head(model, version, head.parameters.get(TIMEOUT))


def has_many_fields(data: bytes, most: int) -> bool:
    """Tell whether a message has more fields than so many. It may be malformed behind them."""
    try:
        return any(count == most for count, _ in enumerate(wire.fields(data, 0, len(data))))
    except MalformedBodyError:
        return False


def read_message(data: bytes) -> Message:
    """Return a request. Raise MalformedBodyError, BodyTooLargeError and ContractViolationError."""
    head = _HeadReader(data)
    inputs: list[tuple[int, int]] = []
    outputs: list[OutputWish] = []
    raw: list[memoryview] = []
    view = memoryview(data)
    for count, (number, kind, start, stop) in enumerate(wire.fields(data, 0, len(data))):
        if count >= _HEAD_FIELDS:
            _check_late(count, number)
        if kind != wire.LENGTH:
            continue
        if number == _RAW:
            raw.append(view[start:stop])
        elif number == _INPUTS:
            inputs.append((start, stop))
        elif number == _OUTPUTS:
            outputs.append(_wish(data, start, stop))
        elif number <= _LAST_OF_HEAD:
            head.take(number, start, stop)
    if raw and len(raw) != len(inputs):
        wanted = f"one for each of {len(inputs)} inputs"
        raise ContractViolationError("raw_input_contents", None, wanted, f"{len(raw)}")
    tensors = {sent.tensor.name: sent for sent in _sent(data, inputs, raw)}
    model, _, name = head.texts
    described = [sent.tensor for sent in tensors.values()]
    return Message(
        model, InferRequest(described, name or None, outputs or None, head.parameters), tensors
    )


def _sent(data: bytes, inputs: list[tuple[int, int]], raw: list[memoryview]) -> Iterator[Sent]:
    known: set[str] = set()
    for index, (start, stop) in enumerate(inputs):
        if raw and stop - start <= _KNOWN_BYTES:
            tensor, contents = _known_input(data[start:stop])
        else:
            tensor, contents = _input(data, start, stop)
        check_input(tensor, known)
        known.add(tensor.name)
        if raw:
            if contents is not None and contents.is_there:
                raise ContractViolationError(
                    f"inputs.{tensor.name}", None, "raw_input_contents or contents", "both"
                )
            yield Sent(tensor, raw[index])
        elif contents is None:
            wanted = "its contents, or raw_input_contents"
            raise ContractViolationError(f"inputs.{tensor.name}", None, wanted, "neither")
        else:
            yield Sent(tensor, None, contents)


@lru_cache(maxsize=1024)
def _known_input(written: bytes) -> tuple[InputTensor, Contents | None]:
    return _input(written, 0, len(written))


def _input(data: bytes, start: int, stop: int) -> tuple[InputTensor, Contents | None]:
    name = datatype = ""
    shape: list[int] = []
    parameters: Parameters = {}
    contents: Contents | None = None
    for number, kind, at, end in wire.fields(data, start, stop):
        if number == 3 and kind in {wire.LENGTH, wire.VARINT}:  # noqa: PLR2004 - the protocol's
            shape += wire.varints(memoryview(data)[at:end], "int64").tolist()
        elif kind != wire.LENGTH:
            continue
        elif number == 1:
            name = wire.text_of(data, at, end, "an input's name")
        elif number == 2:  # noqa: PLR2004 - the same
            datatype = wire.text_of(data, at, end, f"the datatype of inputs.{name}")
        elif number == 4:  # noqa: PLR2004 - the same
            _read_parameter(data, at, end, parameters)
        elif number == 5:  # noqa: PLR2004 - the same
            contents = contents or Contents(data)
            contents.add(at, end)
    return InputTensor(name, shape, datatype, parameters=parameters or None), contents


def _wish(data: bytes, start: int, stop: int) -> OutputWish:
    name = ""
    parameters: Parameters = {}
    for number, kind, at, end in wire.fields(data, start, stop):
        if kind != wire.LENGTH:
            continue
        if number == 1:
            name = wire.text_of(data, at, end, "an output's name")
        elif number == 2:  # noqa: PLR2004 - the protocol's
            _read_parameter(data, at, end, parameters)
    return OutputWish(name, parameters or None)


def _read_parameter(data: bytes, start: int, stop: int, found: Parameters) -> None:
    """Add a parameter, as JSON; one without a value is none."""
    name = ""
    value: bool | int | float | str | None = None
    for number, kind, at, end in wire.fields(data, start, stop):
        if kind != wire.LENGTH:
            continue
        if number == 1:
            name = wire.text_of(data, at, end, "a parameter's name")
        elif number == 2:  # noqa: PLR2004 - the protocol's
            given = _choice(data, at, end)
            value = value if given is None else given
    if value is not None:
        found[name] = msgspec.Raw(msgspec.json.encode(value))


def _choice(data: bytes, start: int, stop: int) -> bool | int | float | str | None:
    """Return what a parameter is: the last that is there of its five fields."""
    value: bool | int | float | str | None = None
    for number, kind, at, end in wire.fields(data, start, stop):
        match number, kind:
            case 1, wire.VARINT:
                value = wire.varint(data, at, end)[0] != 0
            case 2, wire.VARINT:
                value = wire.signed(wire.varint(data, at, end)[0])
            case 3, wire.LENGTH:
                value = wire.text_of(data, at, end, "a parameter")
            case 4, wire.FIXED64:
                value = float(np.frombuffer(data, "<f8", 1, at)[0])
            case 5, wire.VARINT:
                value = wire.varint(data, at, end)[0]
    return value


def _check_late(count: int, number: int) -> None:
    if number <= _LAST_OF_HEAD:
        raise MalformedBodyError(
            f"model_name, model_version, id and parameters have to be among the first "
            f"{_HEAD_FIELDS} fields of a message"
        )
    if count == _MOST_FIELDS:
        raise BodyTooLargeError(f"the message has over {_MOST_FIELDS} fields")
