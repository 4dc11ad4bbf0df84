"""Say what is wrong with a body: where, what was wanted, what came."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from service.contracts.other_forms import MLFLOW_FORMS, form_violation
from service.core.errors import ContractViolationError, MalformedBodyError, ServiceError

T = TypeVar("T")

Place = Callable[[int], str]
"""Turns a row into the path of one input's value there."""


class _Digits(str):
    """A number as a body has it, where it is out of range for a float."""

    __slots__ = ()


_MAX_SHOWN = 80
_ROW = re.compile(r"instances\[(\d+)\]")
_A_ROW = re.compile(r"instances\[\d+\]")
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


_decode_digits = msgspec.json.Decoder(float_hook=_Digits).decode


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw, at: str = "") -> T:
    """Decode a body, or the part of one that lies at the path `at`.

    Raise ContractViolationError or MalformedBodyError, and nothing else, whatever came.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _violation(str(error), bytes(body), at) from None
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        if bytes(body[: 2 * len(BOM_UTF8)]).count(BOM_UTF8) == 1 and bytes(body[:3]) == BOM_UTF8:
            # A mark that editors and .NET put in front; RFC 8259, 8.1, lets readers ignore it.
            return decode(decoder, bytes(body)[len(BOM_UTF8) :], at)
        raise _malformed(error) from None


def violation(path: str, expected: str, value: Any) -> ContractViolationError:
    """Return the error for a value that was decoded and then found wrong."""
    return ContractViolationError(path, _row(path), expected, describe(value))


def violation_at(place: Place, row: int, expected: str, value: Any) -> ContractViolationError:
    """Return the error for one row's value that was decoded and then found wrong."""
    return ContractViolationError(place(row), row, expected, describe(value))


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


def _violation(message: str, body: bytes, at: str) -> ServiceError:
    """Turn msgspec's message ('Expected `int`, got `str` - at `$.a[0]`') into our own words."""
    try:
        document = _read_whole(body)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        # The fault that was met first was not the only one.
        return _malformed(error)
    wanted, _, place = message.rpartition(" - at `$")
    wanted, place = (wanted, place.removesuffix("`")) if wanted else (message, "")
    wanted, _, kind = wanted.partition(", got ")
    found, value = _walk(document, place)
    got = describe(value) if found else _word(kind) if kind else "another value"
    if (field := _field(wanted, "Object missing required field ")) is not None:
        place, wanted, got = f"{place}.{field}", "a value", "nothing"
    elif (field := _field(wanted, "Object contains unknown field ")) is not None:
        if not place and field in MLFLOW_FORMS:
            return form_violation(field)
        inside = value.get(field, msgspec.UNSET) if isinstance(value, dict) else msgspec.UNSET
        place, wanted = f"{place}.{field}", "no field of this name"
        got = "one" if inside is msgspec.UNSET else describe(inside)
    else:
        wanted = _SENTENCES.get(wanted) or _in_words(wanted.removeprefix("Expected "))
    path = at + place if at else place.removeprefix(".")
    if wanted == "an object" and isinstance(value, list) and _A_ROW.fullmatch(path):
        # MLflow's own server takes a list of lists there.
        wanted = "an object of the inputs by their names"
    row = _row(path)
    if row is None and path.startswith("columns."):
        columns = document["columns"] if isinstance(document, dict) else {}
        row = _index(place if at else _behind_name(columns, place[len(".columns") :])[1])
    return ContractViolationError(path, row, wanted, got)


def _read_whole(body: bytes) -> Any:
    """Decode a body whatever it holds; a number out of range is left as it is written.

    UNSET where that is an integer, which msgspec reads or refuses. Raise msgspec.DecodeError and
    what else decoding raises where it is no JSON to its end.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        pass
    try:
        return _decode_digits(body)
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
            name, place = _behind_name(value, place)
            if name is None:
                return False, None
            value = value[name]
        else:
            return False, None
    return value is not msgspec.UNSET, value


def _behind_name(value: dict[str, Any], place: str) -> tuple[str | None, str]:
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


def _index(place: str) -> int | None:
    found = _INDEX.match(place)
    return int(found[1]) if found else None


def _row(path: str) -> int | None:
    found = _ROW.match(path)
    return int(found[1]) if found else None


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
