"""Say what is wrong with a JSON value: where, what was wanted, what came."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from service.contracts.places import Place
from service.core.errors import ContractViolationError, MalformedBodyError, ServiceError

T = TypeVar("T")


class Fault(NamedTuple):
    """What msgspec found wrong, in our own words."""

    place: str
    """As msgspec has paths: `.instances[3].the day`, '' for the whole."""
    expected: str
    got: str
    value: Any
    """What stands there; UNSET where that can't be told."""
    unknown: str | None = None
    """The name of the field, where it is one too many."""


Explain = Callable[[Fault, Any], ServiceError]
"""Makes an error of a fault that was found in a document."""


class _Digits(str):
    """A number as a body has it, where it is out of range for a float."""

    __slots__ = ()


_MAX_SHOWN = 80
_INDEX = re.compile(r"\[(\d+)\]")
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "a boolean",
    "bytes": "a base64 string",
    "datetime": "an RFC 3339 datetime",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_SENTENCES = {
    "Integer value out of range": "an integer that fits 64 bits",
    "Number out of range": "a number that fits a double",
    "Invalid base64 encoded string": "a base64 string",
}

_NO_JSON = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
_decode_digits = msgspec.json.Decoder(float_hook=_Digits).decode


def decode(
    decoder: "msgspec.json.Decoder[T]",
    written: bytes | msgspec.Raw,
    at: str = "",
    explain: Explain | None = None,
) -> T:
    """Decode a body, or the part of one that lies at the path `at`.

    Raise what `explain` makes of a value that is not of the type, as it is a
    ContractViolationError, or MalformedBodyError, and nothing else, whatever came.
    """
    try:
        return decoder.decode(written)
    except msgspec.ValidationError as error:
        try:
            document = _read_whole(bytes(written))
        except _NO_JSON as another:
            # The fault that was met first was not the only one.
            raise _malformed(another) from None
        fault = fault_in(error, document)
        raise (explain(fault, document) if explain else violation_in(fault, at)) from None
    except _NO_JSON as error:
        start = bytes(memoryview(written)[: 2 * len(BOM_UTF8)])
        if start.count(BOM_UTF8) == 1 and start.startswith(BOM_UTF8):
            # A mark that editors and .NET put in front; RFC 8259, 8.1, lets readers ignore it.
            return decode(decoder, bytes(written)[len(BOM_UTF8) :], at, explain)
        raise _malformed(error) from None


def violation(
    path: str, expected: str, value: Any, row: int | None = None
) -> ContractViolationError:
    """Return the error for a value that was decoded and then found wrong."""
    return ContractViolationError(path, row, expected, describe(value))


def violation_at(place: Place, row: int, expected: str, value: Any) -> ContractViolationError:
    """Return the error for one row's value that was decoded and then found wrong."""
    return ContractViolationError(place(row), row, expected, describe(value))


def violation_in(fault: Fault, at: str, row: int | None = None) -> ContractViolationError:
    """Return the error for a fault in what lies at the path `at`."""
    path = at + fault.place if at else fault.place.removeprefix(".")
    return ContractViolationError(path, row, fault.expected, fault.got)


def first_index(place: str) -> int | None:
    """Return the index that a place such as `[3].a` begins with, None where it is none."""
    found = _INDEX.match(place)
    return int(found[1]) if found else None


def describe(value: Any) -> str:  # noqa: PLR0911 - one for each kind
    """Say what a JSON value is, in a few words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the integer {_cut(_digits(value))}"
        case float():
            return f"the number {value!r}"
        case _Digits():
            return f"the number {_cut(value)}"
        case str():
            shown = msgspec.json.encode(value[:_MAX_SHOWN]).decode()
            return f"the string {_cut(shown)}"
        case list():
            return "an array of 1 item" if len(value) == 1 else f"an array of {len(value)} items"
        case dict():
            return _cut("an object with " + (", ".join(map(str, value)) or "no fields"))
        case _:
            return f"a value of type {type(value).__name__}"


def _malformed(error: Exception) -> ServiceError:
    match error:
        case UnicodeDecodeError():
            return MalformedBodyError(f"the body is not UTF-8 at byte {error.start} of a string")
        case RecursionError():
            return MalformedBodyError("the body is nested too deep")
        case msgspec.DecodeError():
            return MalformedBodyError(f"the body is no JSON: {error}")
        case _:
            return MalformedBodyError("the body has a value that cannot be read")


def fault_in(error: msgspec.ValidationError, document: Any) -> Fault:
    """Read msgspec's message ('Expected `int`, got `str` - at `$.a[0]`') about a document."""
    wanted, _, place = str(error).rpartition(" - at `$")
    wanted, place = (wanted, place.removesuffix("`")) if wanted else (str(error), "")
    wanted, _, kind = wanted.partition(", got ")
    found, value = _walk(document, place)
    if (field := _field(wanted, "Object missing required field ")) is not None:
        return Fault(f"{place}.{field}", "a value", "nothing", msgspec.UNSET)
    if (field := _field(wanted, "Object contains unknown field ")) is not None:
        inside = value.get(field, msgspec.UNSET) if isinstance(value, dict) else msgspec.UNSET
        got = "one" if inside is msgspec.UNSET else describe(inside)
        return Fault(f"{place}.{field}", "no field of this name", got, inside, field)
    got = describe(value) if found else _word(kind) if kind else "another value"
    wanted = _SENTENCES.get(wanted) or _in_words(wanted.removeprefix("Expected "))
    return Fault(place, wanted, got, value if found else msgspec.UNSET)


def _read_whole(written: bytes) -> Any:
    """Decode a body whatever it holds; a number out of range is left as it is written.

    UNSET where that is an integer, which msgspec reads or refuses. Raise msgspec.DecodeError and
    what else decoding raises where it is no JSON to its end.
    """
    try:
        return msgspec.json.decode(written)
    except msgspec.ValidationError:
        pass
    try:
        return _decode_digits(written)
    except msgspec.ValidationError:
        return msgspec.UNSET


def _walk(value: Any, place: str) -> tuple[bool, Any]:
    """Follow a path such as `.instances[3].the day`; names may hold dots and brackets."""
    while place:
        if place.startswith("[") and isinstance(value, list):
            index, _, place = place[1:].partition("]")
            if not index.isdigit() or int(index) >= len(value):
                return False, None
            value = value[int(index)]
        elif place.startswith(".") and isinstance(value, dict):
            name, place = behind_name(value, place)
            if name is None:
                return False, None
            value = value[name]
        else:
            return False, None
    return value is not msgspec.UNSET, value


def behind_name(value: dict[str, Any], place: str) -> tuple[str | None, str]:
    """Split `.the day[3]` into the field's name, None where there is none, and what follows."""
    names = [
        name
        for name in value
        if place.startswith(name, 1) and place[1 + len(name) : 2 + len(name)] in "[."
    ]
    if not names:
        return None, place
    name = max(names, key=len)
    return name, place[1 + len(name) :]


def _field(message: str, start: str) -> str | None:
    return message.removeprefix(start)[1:-1] if message.startswith(start) else None


def _in_words(wanted: str) -> str:
    return re.sub(r"`([^`]*)`", lambda found: _word(found[1]), wanted)


def _word(kind: str) -> str:
    return " or ".join(_WORDS.get(part, part) for part in kind.strip("`").split(" | "))


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"{'-' if value < 0 else ''}... of {value.bit_length()} bits"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
