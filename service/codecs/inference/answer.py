"""Write a model's answers as tensors, in JSON and behind it."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

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


def encoded(
    predictions: Predictions,
    rows: range,
    asked: Asked,
    names: VersionNames,
    declared: Mapping[str, str],
) -> Generator[None, None, bytes]:
    """Return the whole answer for these rows, and yield between some of them and the next."""
    outputs: list[bytes] = []
    binaries: list[bytes] = []
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
        if is_binary:
            size = sum(map(len, parts))
            binaries += parts
            outputs.append(_head(column, rows, asked, size) + b"}")
        else:
            head = _head(column, rows, asked, None)
            outputs.append(b'%b,"data":[%b]}' % (head, b",".join(parts)))
    is_mixed = any(binary for _, binary in chosen(predictions, asked))
    written = b"%b,%b" % (_beginning(asked, names), b'"outputs":[' + b",".join(outputs) + b"]}")
    return b"".join([before_answer(len(written) if is_mixed else 0), written, *binaries])


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


def _head(column: AnswerColumn, rows: range, asked: Asked, size: int | None) -> bytes:
    """Return an output as JSON, but for its data and its end."""
    shape = column.shape
    if asked.kind == "pd" and not shape:
        shape = [1]
    told: dict[str, Any] = {
        "name": column.name,
        "datatype": column.datatype,
        "shape": [len(rows), *shape],
    }
    parameters: dict[str, Any] = {}
    if column.content_type:
        parameters["content_type"] = column.content_type
    if size is not None:
        parameters["binary_data_size"] = size
    if parameters:
        told["parameters"] = parameters
    return write(told)[:-1]
