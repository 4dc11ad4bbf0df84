"""Messages between the server process and a child: msgpack frames, errors as plain data.

Nothing from a child is ever unpickled: an exception of MLflow's would import MLflow in the server
process, and a model's own class could run code there.
"""

import functools
import struct
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from service.core.errors import ChildRaisedError, ServiceError
from service.core.text import NAME_CHARACTERS, presentable, presentable_lines, printable
from service.core.worker_limits import NO_LIMITS, WorkerLimits

T = TypeVar("T")

PING = "ping"
WARM_ID = 0
"""The id of the frame with a Warm that a child sends of itself."""


class Start(msgspec.Struct, frozen=True, array_like=True):
    """What a child is to run, which is the first that it is told.

    `protocol` is the version of all messages; it stands first in every version of this one.
    `target` is `module:function`, called with `arguments`; `variables` are set before that;
    `mark` is what all that it starts is found by, and `limits` what it gives up before it imports
    the target.
    """

    protocol: int
    target: str
    arguments: bytes
    variables: dict[str, str]
    busy_poll_s: float
    mark: int
    limits: WorkerLimits = NO_LIMITS


class Spoken(msgspec.Struct, frozen=True, array_like=True):
    """What can be read of a Start of any version: the version."""

    protocol: int


class Warm(msgspec.Struct, frozen=True):
    """What a child says of itself, once all that it imports is imported: it can be called."""

    protocol: int
    python: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A call to a child: `op` names the operation, `body` is its argument, already encoded."""

    id: int
    op: str
    body: msgspec.Raw


_EMPTY = msgspec.msgpack.encode(b"")
_BIN_32 = 0xC6


def encode_request(id_: int, op: str, body: object, tail: bytes = b"") -> list[bytes]:
    """Return a request in pieces that follow each other.

    A tail is the last field of `body`, an array_like Struct that has b"" there: so megabytes are
    sent from where they are. What stands last in a struct stands last in the request, too, and
    MessagePack writes bytes as a head with their length, and then themselves.
    """
    encoded = msgspec.Raw(msgspec.msgpack.encode(body))
    request = msgspec.msgpack.encode(Request(id_, op, encoded))
    if not tail:
        return [request]
    if not request.endswith(_EMPTY):
        raise TypeError(f"the last field of {type(body).__name__} is not b''")
    return [request[: -len(_EMPTY)] + struct.pack("!BI", _BIN_32, len(tail)), tail]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """The answer to the request of the same id: the operation's result, or a Fault."""

    id: int
    ok: bool
    body: msgspec.Raw


_Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]
Counts = Annotated[
    dict[
        _Name,
        Annotated[
            dict[_Name, Annotated[int, msgspec.Meta(ge=1, le=2**53)]], msgspec.Meta(max_length=64)
        ],
    ],
    msgspec.Meta(max_length=8),
]
"""How often something happened in a child since its last reply: by its kind, then by its name."""


class CountedReply(Reply, frozen=True, array_like=True):
    """A reply with what was counted since the last one. Where nothing was, a Reply is sent."""

    counts: Counts | None = None


class Fault(msgspec.Struct, frozen=True):
    """An exception as plain data; `detail` is the traceback, for the log.

    `extras` are the error's own, as far as they are texts and numbers. The texts are cut and hold
    no credentials: they were made so before they left the child.
    """

    code: str
    message: str
    detail: str
    extras: dict[str, str | int | None] = {}


Errors = Mapping[str, Callable[[Fault], ServiceError]]
"""What a child may raise that is raised here as what it was: a function for each code.

It gets a fault whose texts are safe to show, and may raise ValueError for one that can't be.
"""


def by_message(*kinds: type[ServiceError]) -> Errors:
    """Return the functions for errors that are made of their message alone."""
    return {kind.code: functools.partial(_of_message, kind) for kind in kinds}


def _of_message(kind: type[ServiceError], fault: Fault) -> ServiceError:
    return kind(fault.message)


class Nothing(msgspec.Struct, frozen=True):
    """The argument or result of an operation that has none."""


class UnreadableError(ValueError):
    """Bytes of a child's that are not what they should be."""


_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What reading any bytes may raise."""


def _refuse_extension(code: int, _: memoryview) -> NoReturn:
    """Refuse MessagePack's extension types: no JSON can be made of them. Raise ValueError."""
    raise ValueError(f"it has the extension type {code}")


_decode_reply = msgspec.msgpack.Decoder(CountedReply).decode
_decode_fault = msgspec.msgpack.Decoder(Fault, ext_hook=_refuse_extension).decode


@functools.cache
def _decoder(kind: Any) -> Any:
    return msgspec.msgpack.Decoder(kind, ext_hook=_refuse_extension).decode


# A cached function wants what it knows to be hashable, as every type is.
_decoder_for: Any = _decoder


def read_reply(frame: bytes) -> CountedReply:
    """Read a child's frame, in the server process. Raise UnreadableError for what is no reply."""
    try:
        return _decode_reply(frame)
    except _UNREADABLE as error:
        raise UnreadableError(presentable(str(error))) from None


def read_result(reply: Reply, kind: type[T], errors: Errors) -> T:
    """Return an operation's result, in the server process, or raise the error that it met.

    Raise UnreadableError where it is neither.
    """
    try:
        if reply.ok:
            result: T = _decoder_for(kind)(reply.body)
            return result
        told = to_error(_decode_fault(reply.body), errors)
    except _UNREADABLE as error:
        raise UnreadableError(presentable(str(error))) from None
    raise told


def to_fault(error: BaseException) -> Fault:
    """Turn an exception into data. In the child."""
    detail = presentable_lines("".join(traceback.format_exception(error)))
    if isinstance(error, ServiceError):
        return Fault(error.code, presentable(str(error)), detail, _plain(error.extras()))
    return Fault(ChildRaisedError.code, describe(error), detail)


def _plain(extras: Mapping[str, Any]) -> dict[str, str | int | None]:
    return {
        key: printable(value) if isinstance(value, str) else value
        for key, value in extras.items()
        if value is None or isinstance(value, str | int)
    }


def describe(error: BaseException) -> str:
    """Name an exception with its message, cut and without credentials.

    Even where its own `__str__` raises.
    """
    try:
        return presentable(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - a model's class, which may do anything
        return presentable(type(error).__name__)


def to_error(fault: Fault, errors: Errors) -> ServiceError:
    """Turn data back into an error of ours; ChildRaisedError for a code that is not in `errors`.

    In the server process. Raise ValueError or msgspec's errors where the data of a known code is
    wrong.
    """
    told = msgspec.structs.replace(
        fault, message=presentable(fault.message), detail=presentable_lines(fault.detail)
    )
    revive = errors.get(fault.code)
    return revive(told) if revive else ChildRaisedError(told.message, told.detail)
