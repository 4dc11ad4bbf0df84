"""Read Arrow's lists, structs and maps into what a signature's nested types hold."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from service.codecs.arrow.stream import VALUE_BYTES, check_decoded
from service.codecs.places import place_in_columns
from service.contracts.contract import InputSpec
from service.contracts.faults import Explain, decode, first_index, violation_at, violation_in
from service.contracts.mlflow_types import dec_hook, nested_type
from service.core.errors import ContractViolationError

_LEAVES = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_timestamp,
    pa.types.is_date,
)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def nested_reader(
    spec: InputSpec, described: dict[str, Any]
) -> Callable[[pa.ChunkedArray, int], list[Any]]:
    """Return what reads an input of a nested type, by way of the JSON that it stands for.

    So a type within is taken where JSON's own check takes the value, and the fault is told in the
    same words. What it returns raises ContractViolationError, and BodyTooLargeError.
    """
    kind = nested_type(described)
    values_type: Any = list[kind] if spec.required else list[kind | None]  # type: ignore[valid-type]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(values_type, dec_hook=dec_hook)
    path, place = f"columns.{spec.name}", place_in_columns(spec.name)

    def read(column: pa.ChunkedArray, max_decoded_bytes: int) -> list[Any]:
        if not (is_plain(column.type) or pa.types.is_null(column.type)):
            got = f"a column of {column.type}"
            raise ContractViolationError(path, None, f"a column of {_in_words(described)}", got)
        values = sum(_leaves(chunk) for chunk in column.chunks)
        check_decoded(values * VALUE_BYTES, max_decoded_bytes)
        try:
            given = column.to_pylist(maps_as_pydicts="strict")
            encoded = msgspec.json.encode(
                _spelled(given) if _has_nanoseconds(column.type) else given
            )
        except (KeyError, ValueError, OverflowError, TypeError) as error:
            raise ContractViolationError(
                path, None, f"a column of {_in_words(described)}", f"what has no JSON ({error})"
            ) from error
        for row, value in enumerate(given):
            if not _is_finite(value):
                raise violation_at(place, row, "finite numbers", value)
        found: list[Any] = decode(decoder, encoded, path, _explain(path))
        return found

    return read


def _explain(path: str) -> Explain:
    """Return what makes an error of a fault in the column at a path."""
    return lambda fault, _: violation_in(fault, path, first_index(fault.place))


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether each value of this type has bytes of its own in the body.

    Dictionaries, views, nulls and structs of nothing have none, and could be very many.
    """
    if any(is_list(kind) for is_list in _LISTS):
        return is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return bool(kind.num_fields) and all(is_plain(field.type) for field in kind)
    if pa.types.is_map(kind):
        return is_plain(kind.key_type) and is_plain(kind.item_type)
    return any(is_leaf(kind) for is_leaf in _LEAVES)


def _leaves(array: pa.Array) -> int:
    """Count the values that Python will hold."""
    kind = array.type
    if any(is_list(kind) for is_list in _LISTS):
        return len(array) + _leaves(array.flatten())
    if pa.types.is_struct(kind):
        return len(array) + sum(_leaves(field) for field in array.flatten())
    if pa.types.is_map(kind):
        # A slice's keys are those of the whole; more than it has, never fewer.
        return len(array) + _leaves(array.keys) + _leaves(array.items)
    return len(array)


def _has_nanoseconds(kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind):
        return bool(kind.unit == "ns")
    return any(_has_nanoseconds(kind.field(index).type) for index in range(kind.num_fields))


def _spelled(value: Any) -> Any:
    """Return a value with texts for moments: msgspec would write them without nanoseconds."""
    match value:
        case datetime():
            return value.isoformat()
        case list():
            return [_spelled(item) for item in value]
        case dict():
            return {key: _spelled(item) for key, item in value.items()}
    return value


def _in_words(described: dict[str, Any]) -> str:
    words = {
        "array": "lists",
        "object": "structs",
        "map": "maps",
        "sparkml_vector": "lists of numbers",
    }
    return words.get(described["type"], "plain values, lists, structs or maps")


def _is_finite(value: Any) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_finite, value))
        case dict():
            return all(map(_is_finite, value.values()))
    return True
