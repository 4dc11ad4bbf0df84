"""Write a model's answers as tensors: their elements, and the JSON that they stand in or behind."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from service.codecs.inference.columns import AnswerColumn, answer_column
from service.codecs.inference.frame import before_answer
from service.codecs.inference.request import Asked
from service.codecs.json.encoding import write
from service.contracts.answer_size import rows_within
from service.contracts.contract import Predictions
from service.core.errors import ContractViolationError
from service.core.version_names import VersionNames

_CHUNK_VALUES = 4_096
"""So many values are written at a time: some tenths of a millisecond."""


def chosen(predictions: Predictions, asked: Asked) -> list[tuple[int, bool]]:
    """Return the outputs that are asked for, by their index, and which are to be binary.

    Raise ContractViolationError for one that the model has not.
    """
    if asked.outputs is None:
        return [(index, asked.binary) for index in range(len(predictions.names))]
    at = {name: index for index, name in enumerate(predictions.names)}
    check_outputs(asked, predictions.names)
    return [(at[name], binary) for name, binary in asked.outputs]


def check_outputs(asked: Asked, names: list[str]) -> None:
    """Raise ContractViolationError for an output that is asked for and is none of these."""
    for name, _ in asked.outputs or ():
        if name not in names:
            wanted = f"an output of the model: {', '.join(names)}"
            raise ContractViolationError(f"outputs.{name}", None, wanted, "this name")


def only(predictions: Predictions, indices: list[int]) -> Predictions:
    """Return a model's answer with some of its columns."""
    return msgspec.structs.replace(
        predictions,
        names=[predictions.names[index] for index in indices],
        columns=[predictions.columns[index] for index in indices],
        dtypes=[predictions.dtypes[index] for index in indices],
        shapes=[predictions.shapes[index] for index in indices],
    )


class WrittenOutput(NamedTuple):
    """An output whose elements are written already: in parts, bytes or JSON."""

    column: AnswerColumn
    is_binary: bool
    parts: list[bytes]


def written_outputs(
    predictions: Predictions, rows: range, asked: Asked, declared: Mapping[str, str]
) -> Generator[None, None, list[WrittenOutput]]:
    """Return the outputs that are asked for, and yield between some of their rows and the next."""
    outputs: list[WrittenOutput] = []
    a_time = rows_within(predictions, _CHUNK_VALUES)
    for index, is_binary in chosen(predictions, asked):
        name = predictions.names[index]
        column = answer_column(
            name,
            predictions.columns[index],
            predictions.dtypes[index],
            predictions.shapes[index],
            rows,
            declared.get(name, ""),
        )
        parts: list[bytes] = []
        for start, stop in _chunks(rows, a_time):
            if parts or outputs:
                yield
            parts.append((column.binary if is_binary else column.json)(start, stop))
        outputs.append(WrittenOutput(column, is_binary, parts))
    return outputs


def whole_answer(
    outputs: list[WrittenOutput], rows: int, asked: Asked, names: VersionNames
) -> bytes:
    """Return the answer in JSON, with the bytes of binary outputs behind it."""
    told: list[bytes] = []
    binaries: list[bytes] = []
    for column, is_binary, parts in outputs:
        if is_binary:
            binaries += parts
            told.append(_head(column, rows, asked, sum(map(len, parts))) + b"}")
        else:
            head = _head(column, rows, asked, None)
            told.append(b'%b,"data":[%b]}' % (head, b",".join(parts)))
    is_mixed = any(output.is_binary for output in outputs)
    written = b"%b,%b" % (_beginning(asked, names), b'"outputs":[' + b",".join(told) + b"]}")
    return b"".join([before_answer(len(written) if is_mixed else 0), written, *binaries])


def shape_of(column: AnswerColumn, rows: int, asked: Asked) -> list[int]:
    """Return an output's shape; a column of a frame is [N, 1]."""
    return [rows, *(column.shape or ([1] if asked.kind == "pd" else []))]


def _chunks(rows: range, a_time: int) -> Iterator[tuple[int, int]]:
    for start in range(rows.start, rows.stop, a_time):
        yield start, min(start + a_time, rows.stop)


def _beginning(asked: Asked, names: VersionNames) -> bytes:
    """Return what an answer begins with, but for its end."""
    told: dict[str, Any] = {
        "model_name": asked.model or names.model,
        "model_version": names.version,
    }
    if asked.id is not None:
        told["id"] = asked.id
    if asked.kind:
        told["parameters"] = {"content_type": asked.kind}
    return write(told)[:-1]


def _head(column: AnswerColumn, rows: int, asked: Asked, size: int | None) -> bytes:
    """Return an output as JSON, but for its data and its end."""
    told: dict[str, Any] = {
        "name": column.name,
        "datatype": column.datatype,
        "shape": shape_of(column, rows, asked),
    }
    parameters: dict[str, Any] = {}
    if column.content_type:
        parameters["content_type"] = column.content_type
    if size is not None:
        parameters["binary_data_size"] = size
    if parameters:
        told["parameters"] = parameters
    return write(told)[:-1]
