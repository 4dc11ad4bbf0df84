"""A request of the protocol: its JSON as msgspec reads it, and what it says of its answer."""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from service.codecs.bounds import Bounds
from service.codecs.codec import Form, Wanted
from service.contracts.faults import decode, violation
from service.core.errors import ContractViolationError, MalformedBodyError

Parameters = dict[str, msgspec.Raw]
_KINDS_ECHOED = frozenset({"pd", "dict"})
"""Kinds of requests of MLServer's clients that are answered in kind."""


class InputTensor(msgspec.Struct, gc=False):
    """One input: `data` is JSON, or its bytes follow the JSON and `binary_data_size` says it."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | UnsetType = UNSET
    parameters: Parameters | None = None


class OutputWish(msgspec.Struct, gc=False):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The JSON of a request."""

    inputs: list[InputTensor]
    id: str | None = None
    outputs: list[OutputWish] | None = None
    parameters: Parameters | None = None


class Asked(Wanted, frozen=True):
    """What a request says of its answer.

    `outputs` has the name of each that is asked for, and whether it is to be binary; None stands
    for all, which `binary` says it of.
    """

    model: str = ""
    id: str | None = None
    outputs: tuple[tuple[str, bool], ...] | None = None
    binary: bool = False
    kind: str = ""


class TypedElements(Protocol):
    """Elements in fields of their type, as a message has them; see `contents.Contents`."""

    def elements(
        self, path: str, datatype: str, count: int, bounds: Bounds
    ) -> "np.ndarray[Any, Any] | list[bytes]":
        """Return so many elements of this datatype."""
        ...


class Sent(NamedTuple):
    """A tensor as it was sent: its bytes if it is binary, its typed elements if it has those.

    With neither its elements are JSON.
    """

    tensor: InputTensor
    binary: memoryview | None
    contents: TypedElements | None = None


_REQUEST = msgspec.json.Decoder(InferRequest)
_BOOLEAN = msgspec.json.Decoder(bool)
_COUNT = msgspec.json.Decoder(int)
_TEXT = msgspec.json.Decoder(str)
_NOT_GIVEN = {
    "classification": "no classification: the model's own answer is given",
    "shared_memory_region": "no shared memory: the tensor in the answer",
}


def read_request(written: memoryview) -> InferRequest:
    """Return a request's JSON. Raise MalformedBodyError and ContractViolationError."""
    return decode(_REQUEST, bytes(written))


def asked_of(request: InferRequest, model: str) -> Asked:
    """Return what a request says of its answer. Raise ContractViolationError."""
    parameters = request.parameters or {}
    every = boolean(parameters, "binary_data_output", "parameters")
    outputs = None
    if request.outputs:
        outputs = tuple(_wished(wish, binary=every) for wish in request.outputs)
        names = [name for name, _ in outputs]
        if len(set(names)) < len(names):
            raise ContractViolationError("outputs", None, "each output once", "one of them twice")
    kind = text(parameters, "content_type")
    return Asked(
        Form.COLUMNS,
        model=model,
        id=request.id,
        outputs=outputs,
        binary=every,
        kind=kind if kind in _KINDS_ECHOED else "",
    )


def tensors_of(request: InferRequest, binary: memoryview) -> dict[str, Sent]:
    """Return each tensor by its name, with its part of the bytes behind the JSON.

    Raise ContractViolationError for one that comes twice or has no data, and MalformedBodyError
    where the bytes are not as many as the tensors say.
    """
    found: dict[str, Sent] = {}
    at = 0
    for tensor in request.inputs:
        name, parameters = tensor.name, tensor.parameters or {}
        path = f"inputs.{name}"
        check_input(tensor, found)
        size = parameters.get("binary_data_size")
        if size is None:
            if tensor.data is UNSET:
                wanted = "its data, or the parameter binary_data_size"
                raise ContractViolationError(path, None, wanted, "neither")
            found[name] = Sent(tensor, None)
            continue
        count = decode(_COUNT, size, f"{path}.parameters.binary_data_size")
        if count < 0:
            raise violation(f"{path}.parameters.binary_data_size", "at least 0", count)
        if tensor.data is not UNSET:
            raise ContractViolationError(path, None, "either data or binary data", "both")
        if at + count > len(binary):
            raise MalformedBodyError(
                f"the tensor {name!r} has {count} bytes, and {len(binary) - at} are left behind "
                "the JSON (Inference-Header-Content-Length says where that ends)"
            )
        found[name] = Sent(tensor, binary[at : at + count])
        at += count
    if at != len(binary):
        raise MalformedBodyError(
            f"{len(binary)} bytes follow the JSON, and the tensors have {at} of them"
        )
    return found


def check_input(tensor: InputTensor, known: Container[str]) -> None:
    """Raise ContractViolationError for a name that is known already, and for shared memory."""
    path = f"inputs.{tensor.name}"
    if tensor.name in known:
        raise ContractViolationError(path, None, "one tensor of this name", "two")
    if tensor.parameters and "shared_memory_region" in tensor.parameters:
        wanted = "its data in the request, since no shared memory is read"
        raise ContractViolationError(path, None, wanted, "shared memory")


def boolean(parameters: Mapping[str, msgspec.Raw], name: str, at: str) -> bool:
    """Return a parameter that is true or false, and false where it is not there."""
    given = parameters.get(name)
    return False if given is None else decode(_BOOLEAN, given, f"{at}.{name}")


def text(parameters: Mapping[str, Any], name: str) -> str:
    """Return a parameter that is a text, '' where it is none."""
    try:
        return _TEXT.decode(parameters.get(name, b'""'))
    except (msgspec.DecodeError, ValueError):
        return ""


def _wished(wish: OutputWish, *, binary: bool) -> tuple[str, bool]:
    parameters = wish.parameters or {}
    for name, wanted in _NOT_GIVEN.items():
        if name in parameters:
            path = f"outputs.{wish.name}.parameters.{name}"
            raise ContractViolationError(path, None, wanted, "one")
    if "binary_data" in parameters:
        binary = boolean(parameters, "binary_data", f"outputs.{wish.name}.parameters")
    return wish.name, binary
