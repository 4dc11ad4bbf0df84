"""What stands in front of a body on its way from its handler to the codec, and back.

HTTP's header `Inference-Header-Content-Length` says how much of a body is JSON; binary tensors
follow it. In front of a request stand that length and the name that the model was asked by, in
front of an answer the length alone: 0 where all of it is JSON.
"""

import struct
from typing import NamedTuple

from service.core.errors import MalformedBodyError

_REQUEST = struct.Struct("<QH")
_ANSWER = struct.Struct("<Q")
ANSWER_BYTES = _ANSWER.size
"""So many bytes stand in front of an answer."""


class Framed(NamedTuple):
    """A request: where its JSON begins and ends, and the name that the model was asked by."""

    start: int
    stop: int
    model: str


def before_request(json_bytes: int, model: str) -> bytes:
    """Return what is to stand in front of a request's body."""
    name = model.encode()
    return _REQUEST.pack(json_bytes, len(name)) + name


def read_frame(body: bytes) -> Framed:
    """Return where a body's JSON is. Raise MalformedBodyError where it is longer than the body."""
    if len(body) < _REQUEST.size:
        raise MalformedBodyError("the body is empty")
    json_bytes, name_bytes = _REQUEST.unpack_from(body)
    start = _REQUEST.size + name_bytes
    if start + json_bytes > len(body):
        raise MalformedBodyError(
            f"the body has {max(0, len(body) - start)} bytes, and {json_bytes} of JSON are "
            "announced (Inference-Header-Content-Length)"
        )
    return Framed(start, start + json_bytes, body[_REQUEST.size : start].decode("utf-8", "replace"))


def before_answer(json_bytes: int) -> bytes:
    """Return what stands in front of an answer's body."""
    return _ANSWER.pack(json_bytes)


def json_bytes_of(answer: bytes) -> int:
    """Return how much of an answer is JSON, 0 where all of it is."""
    (length,) = _ANSWER.unpack_from(answer)
    return int(length)
