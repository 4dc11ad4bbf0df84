"""An answer of the protocol as a message of protobuf, `inference.ModelInferResponse`."""

from functools import lru_cache

from service.codecs.inference.answer import WrittenOutput, shape_of
from service.codecs.inference.request import Asked
from service.codecs.inference.wire import field, varint_of
from service.core.version_names import VersionNames

_MODEL, _VERSION, _ID, _PARAMETERS, _OUTPUTS, _RAW = range(1, 7)
_NAME, _DATATYPE, _SHAPE, _OUTPUT_PARAMETERS = range(1, 5)
_STRING_PARAM = 3
_ALIKE = 1024
"""So many descriptions of outputs are kept, which the next answers have too."""


def whole_message(
    outputs: list[WrittenOutput], rows: int, asked: Asked, names: VersionNames
) -> bytes:
    """Return the whole answer."""
    parts = [_beginning(asked.model or names.model, names.version)]
    if asked.id is not None:
        parts.append(field(_ID, _bytes(asked.id)))
    if asked.kind:
        parts.append(field(_PARAMETERS, _parameter("content_type", asked.kind)))
    for output in outputs:
        column = output.column
        shape = tuple(shape_of(column, rows, asked))
        parts.append(_output(column.name, column.datatype, shape, column.content_type))
    for output in outputs:
        data = output.parts[0] if len(output.parts) == 1 else b"".join(output.parts)
        parts.append(field(_RAW, data))
    return b"".join(parts)


@lru_cache(maxsize=_ALIKE)
def _beginning(model: str, version: str) -> bytes:
    return field(_MODEL, _bytes(model)) + field(_VERSION, _bytes(version))


@lru_cache(maxsize=_ALIKE)
def _output(name: str, datatype: str, shape: tuple[int, ...], content_type: str) -> bytes:
    """Return the description of an output."""
    written = field(_NAME, _bytes(name)) + field(_DATATYPE, _bytes(datatype))
    written += field(_SHAPE, b"".join(map(varint_of, shape)))
    if content_type:
        written += field(_OUTPUT_PARAMETERS, _parameter("content_type", content_type))
    return field(_OUTPUTS, written)


def _parameter(name: str, value: str) -> bytes:
    """Return an entry of a map: a name, and a parameter that is a string."""
    return field(1, _bytes(name)) + field(2, field(_STRING_PARAM, _bytes(value)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
