"""A request of the protocol as a message of protobuf, `inference.ModelInferRequest`."""

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
_RAW_KEY = _RAW << 3 | wire.LENGTH
_HEAD_FIELDS = 4_096
"""A field of the head that comes behind so many others is refused: libraries write it first."""
_MOST_FIELDS = 262_144
"""Of a message; each takes some 100 bytes."""
_KEPT_BYTES = 4_096
"""A beginning that is no longer is kept: the next request, with other values, has the same."""
_KEPT = 256


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


class _Beginning(NamedTuple):
    """All of a message but raw contents."""

    head: Head
    request: InferRequest
    contents: list[Contents | None]
    """Of each input, where it has any."""


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
    def head(self) -> Head:
        """What has been read."""
        model, version, _ = self._texts
        return Head(model, version, self.parameters.get(TIMEOUT))

    @property
    def id(self) -> str | None:
        """The request's own name, None for none."""
        return self._texts[2] or None


def read_head(data: bytes) -> Head:
    """Return what a message begins with; of its fields only the first ones are looked at.

    Raise MalformedBodyError.
    """
    at = _begin_of_raw(data)
    if 0 <= at <= _KEPT_BYTES:
        return _kept_head(data[:at])
    return _head_of(data)


@lru_cache(maxsize=_KEPT)
def _kept_head(written: bytes) -> Head:
    return _head_of(written)


def _head_of(data: bytes) -> Head:
    reader = _HeadReader(data)
    for count, (number, kind, start, stop) in enumerate(wire.fields(data, 0, len(data))):
        if count == _HEAD_FIELDS:
            break
        if number <= _LAST_OF_HEAD and kind == wire.LENGTH:
            reader.take(number, start, stop)
    return reader.head


def has_many_fields(data: bytes, most: int) -> bool:
    """Tell whether a message has more fields than so many. It may be malformed behind them."""
    try:
        return any(count == most for count, _ in enumerate(wire.fields(data, 0, len(data))))
    except MalformedBodyError:
        return False


def read_message(data: bytes) -> Message:
    """Return a request. Raise MalformedBodyError, BodyTooLargeError and ContractViolationError."""
    # As libraries write it: raw contents behind all else.
    at = _begin_of_raw(data)
    raw = _raw_alone(data, at) if at >= 0 else None
    if raw is None:
        raw = []
        beginning = _read(data, raw)
    else:
        written = data[:at]
        beginning = _kept(written) if at <= _KEPT_BYTES else _read(written, [])
    head, request, contents = beginning
    inputs = request.inputs
    if raw and len(raw) != len(inputs):
        wanted = f"one for each of {len(inputs)} inputs"
        raise ContractViolationError("raw_input_contents", None, wanted, f"{len(raw)}")
    if raw and not any(contents):
        pairs = zip(inputs, raw, strict=True)
        return Message(head.model, request, {one.name: Sent(one, its) for one, its in pairs})
    return Message(head.model, request, _typed(inputs, contents, is_raw=bool(raw)))


def _typed(
    inputs: list[InputTensor], contents: list[Contents | None], *, is_raw: bool
) -> dict[str, Sent]:
    found = {}
    for tensor, typed in zip(inputs, contents, strict=True):
        if is_raw and typed:
            wanted = "raw_input_contents or contents"
            raise ContractViolationError(f"inputs.{tensor.name}", None, wanted, "both")
        if typed is None:
            wanted = "its contents, or raw_input_contents"
            raise ContractViolationError(f"inputs.{tensor.name}", None, wanted, "neither")
        found[tensor.name] = Sent(tensor, None, typed)
    return found


def _begin_of_raw(data: bytes) -> int:
    """Return where the first raw contents begin; -1 where a closer look is needed.

    Raise MalformedBodyError.
    """
    at, stop = 0, len(data)
    for _ in range(_HEAD_FIELDS):
        if at + 1 >= stop:
            break
        key, size = data[at], data[at + 1]
        if key == _RAW_KEY:
            return at
        if key >= wire.MORE or key & 7 != wire.LENGTH:
            break
        at += 2
        if size >= wire.MORE:
            size, at = wire.varint(data, at - 1, stop)
        at += size
    return -1


def _raw_alone(data: bytes, at: int) -> list[memoryview] | None:
    """Return the raw contents from there on, None where other fields are among them.

    Raise MalformedBodyError and BodyTooLargeError.
    """
    found: list[memoryview] = []
    view, stop = memoryview(data), len(data)
    if stop - at > 2 * _MOST_FIELDS:
        _check_count(sum(1 for _ in wire.fields(data, at, stop)))
    while at + 1 < stop:
        if data[at] != _RAW_KEY:
            return None
        size, at = data[at + 1], at + 2
        if size >= wire.MORE:
            size, at = wire.varint(data, at - 1, stop)
        found.append(view[at : at + size])
        at += size
    if at != stop:
        raise wire.cut()
    return found


@lru_cache(maxsize=_KEPT)
def _kept(written: bytes) -> _Beginning:
    """Return a beginning, which has no contents: where raw ones follow, it may not have any."""
    return _read(written, [])


def _read(data: bytes, raw: list[memoryview]) -> _Beginning:
    """Return what a message says, and add its raw contents to `raw`."""
    reader = _HeadReader(data)
    known: set[str] = set()
    inputs: list[InputTensor] = []
    contents: list[Contents | None] = []
    outputs: list[OutputWish] = []
    view = memoryview(data)
    for count, (number, kind, start, stop) in enumerate(wire.fields(data, 0, len(data))):
        if count >= _HEAD_FIELDS and number <= _LAST_OF_HEAD:
            raise MalformedBodyError(
                f"model_name, model_version, id and parameters have to be among the first "
                f"{_HEAD_FIELDS} fields of a message"
            )
        _check_count(count)
        if kind != wire.LENGTH:
            continue
        if number == _RAW:
            raw.append(view[start:stop])
        elif number == _INPUTS:
            tensor, its = _input(data, start, stop)
            check_input(tensor, known)
            known.add(tensor.name)
            inputs.append(tensor)
            contents.append(its)
        elif number == _OUTPUTS:
            outputs.append(_wish(data, start, stop))
        elif number <= _LAST_OF_HEAD:
            reader.take(number, start, stop)
    request = InferRequest(inputs, reader.id, outputs or None, reader.parameters)
    return _Beginning(reader.head, request, contents)


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


def _check_count(fields: int) -> None:
    if fields > _MOST_FIELDS:
        raise BodyTooLargeError(f"the message has over {_MOST_FIELDS} fields")
