"""Clients of each codec of the catalog, for the suite that all codecs pass."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.codecs.catalog import ARROW, INFERENCE, INFERENCE_MESSAGES, ROWS_AND_COLUMNS
from tests.support import inference_messages
from tests.support.inference_bodies import answered, binary_body, json_body, values_in
from tests.support.tensors_codec import NAME as TENSORS
from tools.arrow_bodies import stream, table_of

Columns = Mapping[str, Sequence[Any]]


class Speaker(Protocol):
    """Writes requests of a protocol, and reads its answers."""

    def request(self, columns: Columns) -> bytes:
        """Return the body of a request for these values."""
        ...

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return the values of an answer by their outputs' names, and the version it names."""
        ...


class Rows:
    """Speaks JSON, with an object a row."""

    def request(self, columns: Columns) -> bytes:
        """Return the body of a request for these values."""
        rows = zip(*columns.values(), strict=True)
        return json.dumps(
            {"instances": [dict(zip(columns, row, strict=True)) for row in rows]}
        ).encode()

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        told = json.loads(body)
        rows = told["predictions"]
        return {name: [row[name] for row in rows] for name in rows[0]}, told["model_version"]


class ByColumns:
    """Speaks JSON, with an array a column."""

    def request(self, columns: Columns) -> bytes:
        """Return the body of a request for these values."""
        return json.dumps({"columns": columns}).encode()

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        told = json.loads(body)
        return told["predictions"], told["model_version"]


class Streams:
    """Speaks Arrow."""

    def request(self, columns: Columns) -> bytes:
        """Return the body of a request for these values."""
        return stream(columns)

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        table = table_of(body)
        return table.to_pydict(), table.schema.metadata[b"hotswap.model_version"].decode()


class NamedTensors:
    """Speaks the protocol that only tests know."""

    def request(self, columns: Columns) -> bytes:
        """Return the body of a request for these values."""
        inputs = [{"name": name, "data": values} for name, values in columns.items()]
        return json.dumps({"inputs": inputs}).encode()

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        told = json.loads(body)
        return {one["name"]: one["data"] for one in told["outputs"]}, told["model_version"]


class JsonTensors:
    """Speaks the Open Inference Protocol in JSON."""

    def request(self, columns: Columns) -> bytes:
        """Return the framed body of a request for these values."""
        return json_body(columns)

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        told, binary = answered(body)
        return values_in(told, binary), told["model_version"]


class BinaryTensors(JsonTensors):
    """Speaks it in binary, both ways."""

    def request(self, columns: Columns) -> bytes:
        """Return the framed body of a request for these values."""
        return binary_body(columns)


class RawMessages:
    """Speaks the Open Inference Protocol over gRPC, with raw contents."""

    def request(self, columns: Columns) -> bytes:
        """Return the message of a request for these values."""
        return inference_messages.request(columns, raw=True)

    def answer(self, body: bytes) -> tuple[dict[str, list[Any]], str]:
        """Return an answer's values, and its version."""
        return inference_messages.answered(body)


class TypedMessages(RawMessages):
    """Speaks it with contents in fields of their type."""

    def request(self, columns: Columns) -> bytes:
        """Return the message of a request for these values."""
        return inference_messages.request(columns, raw=False)


SPEAKERS: list[tuple[str, Speaker]] = [
    (ROWS_AND_COLUMNS, Rows()),
    (ROWS_AND_COLUMNS, ByColumns()),
    (ARROW, Streams()),
    (INFERENCE, JsonTensors()),
    (INFERENCE, BinaryTensors()),
    (INFERENCE_MESSAGES, RawMessages()),
    (INFERENCE_MESSAGES, TypedMessages()),
    (TENSORS, NamedTensors()),
]
"""By the name of the codec; one may have several forms."""
