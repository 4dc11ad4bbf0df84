"""Answer bodies of MLflow's scoring protocol by MLflow's own code, in a worker.

What that code takes, how it casts and how it writes an answer belong to the MLflow that is
installed beside the model, so none of it is done again here. Only what it says of a bad body is
put right: it would repeat the whole body, and a traceback.
"""

import csv
import functools
import inspect
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.exceptions import MlflowException

import msgspec
import numpy as np
import pandas as pd

from service.codecs.bounds import Bounds
from service.core.errors import (
    AnswerTooLargeError,
    BodyTooLargeError,
    ModelFailedError,
    NonFinitePredictionError,
    ScoringError,
    UnwritableAnswerError,
)
from service.core.text import presentable
from service.predictors.answer_rules import NonFinite
from service.processes.inside.late_imports import late_import
from service.processes.protocol import describe
from service.workers.inside.late_modules import SCORING_SERVER

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
"""What MLflow calls the kinds of a body."""
_BAD_REQUEST, _BAD_REQUEST_STATUS = "BAD_REQUEST", 400
_NOT_IMPLEMENTED, _NOT_IMPLEMENTED_STATUS = "NOT_IMPLEMENTED", 501
_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""With this in the environment, models of type hints read values as JSON has them."""
_REPEATED_INPUT = re.compile(r"(Failed to enforce schema of data) '.*' (with schema)", re.DOTALL)
"""Where MLflow's sentence has all that came between its words."""
_CELL_BYTES = 8
_OTHER_COLUMNS = 4_096
"""A body may name so many columns that the model does not know; each costs a fifth of a
millisecond."""
_BATCH_ROWS = 256
_ID_CHARACTERS = 256
_LOOK_AT_INPUT = (
    "types/",
    "models/utils.py",
    "pyfunc/__init__.py",
    "pyfunc/utils/",
    "pyfunc/loaders/",
    "utils/proto_json_utils.py",
)
"""Where in MLflow it checks and casts what a model is given."""
_MLFLOW, *_OTHERS = (
    str(Path(str(sys.modules[name].__file__)).resolve().parent) + os.sep
    for name in ("mlflow", "pandas", "numpy", "pydantic")
    # Earlier releases of MLflow do without it.
    if name in sys.modules
)
_LOOKING = (_MLFLOW, *_OTHERS)
"""Where the files are of all that looks at input."""


class Scored(msgspec.Struct, frozen=True):
    """An answer as MLflow writes it, and what the caller called the request, '' for nothing."""

    body: bytes
    rows: int
    client_request_id: str = ""


class Scoring:
    """Answers bodies by one model, as `mlflow models serve` would."""

    def __init__(self, model: Any, non_finite: NonFinite = NonFinite.LITERAL) -> None:
        self._model = _Watched(model)
        self._schema = model.metadata.get_input_schema()
        self._most_columns = _OTHER_COLUMNS + 2 * len(self._schema.inputs if self._schema else ())
        self._non_finite = non_finite

    def answer(self, kind: str, body: bytes, bounds: Bounds) -> Scored:
        """Answer a body of one of the three kinds.

        Raise ScoringError for what MLflow refuses, BodyTooLargeError and AnswerTooLargeError for
        what would become too large, NonFinitePredictionError where that is wanted, and
        ModelFailedError for what the model raises.
        """
        server = _scoring_server()
        data, client_request_id = _read(kind, body, bounds, self._most_columns)
        self._model.begin()
        try:
            with _serving():
                answered = server.invocations(data, kind, self._model, self._schema)
        except _ModelRaisedError as error:
            raise ModelFailedError(str(error), error.detail) from error
        except MlflowException as error:
            _refuse(error, self._model.refusal or str(error.message))
        except Exception as error:
            if self._model.has_answered:
                raise UnwritableAnswerError(
                    f"the model's answer can't be written as JSON: {describe(error)}"
                ) from error
            # Where MLflow's own server fails over a body, it is the body's fault all the same.
            _refuse_body(f"the body can't be read: {describe(error)}")
        body = self._finite(answered.response, bounds)
        return Scored(body, self._model.rows, client_request_id)

    def _finite(self, text: str, bounds: Bounds) -> bytes:
        """Return an answer's bytes, with its numbers that are not finite as they are wanted."""
        if self._non_finite is not NonFinite.LITERAL and ("NaN" in text or "Infinity" in text):
            if self._non_finite is NonFinite.ERROR:
                _check_finite(json.loads(text))
            text = json.dumps(json.loads(text, parse_constant=lambda _: None))
        answer = text.encode()
        if len(answer) > bounds.answer_bytes:
            raise AnswerTooLargeError(
                f"the answer has {len(answer)} bytes, more than the {bounds.answer_bytes} "
                "that a body of this size may ask for"
            )
        return answer


@functools.cache
def _scoring_server() -> Any:
    """Return MLflow's own code. Raise ScoringError where this environment can't import it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return late_import(SCORING_SERVER)
    except Exception as error:  # noqa: BLE001 - whatever a package says that is too old or new
        raise ScoringError(
            presentable(
                "MLflow's scoring server, which answers this, can't be imported in the version's "
                f"environment ({describe(error)}): /predict does without"
            ),
            *(_NOT_IMPLEMENTED, _NOT_IMPLEMENTED_STATUS),
        ) from None


class _ModelRaisedError(BaseException):
    """What the model itself raised: no `except Exception` of MLflow's is to catch it."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class _Watched:
    """A pyfunc model that tells what it raised itself from what its schema refused."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.metadata = model.metadata
        self.refusal = ""
        """What the last input broke of the schema: later the message has the input before it."""
        self.has_answered = False
        self.rows = 0
        """How many rows the last answer is for, 0 where that can't be told."""
        self._takes_params = "params" in inspect.signature(model.predict).parameters

    def begin(self) -> None:
        """Forget what the last input met."""
        self.refusal, self.has_answered, self.rows = "", False, 0

    def predict(self, data: Any, params: Any = None) -> Any:
        """Answer as the model does."""
        more = {"params": params} if self._takes_params else {}
        try:
            answer = self._model.predict(data, **more)
        except BaseException as error:
            if _is_of_model(error):
                _give_up(error)
            message = getattr(error, "message", None) or describe(error)
            self.refusal = str(message)
            raise
        self.has_answered = True
        self.rows = _rows(data)
        return answer


def _rows(data: Any) -> int:
    """Return how many rows an input has, 0 where that can't be told."""
    if isinstance(data, dict):
        data = next(iter(data.values()), None)
        return len(data) if isinstance(data, np.ndarray) and data.ndim else 0
    return len(data) if isinstance(data, pd.DataFrame | np.ndarray | list) else 0


@contextmanager
def _serving() -> Iterator[None]:
    before = os.environ.get(_SERVING)
    os.environ[_SERVING] = "true"
    try:
        yield
    finally:
        if before is None:
            # The model may have taken it away.
            os.environ.pop(_SERVING, None)
        else:
            os.environ[_SERVING] = before


def _give_up(error: BaseException) -> NoReturn:
    raise _ModelRaisedError(f"the model raised {describe(error)}", traceback.format_exc()) from None


def _is_of_model(error: BaseException) -> bool:
    """Tell whether an error came out of the model, and not of MLflow's look at its input.

    A model that asks another one fails by that one's look at what it gave: it is the model's fault.
    """
    if not isinstance(error, Exception):
        return True
    frames = traceback.walk_tb(error.__traceback__)
    files = [str(Path(frame.f_code.co_filename).resolve()) for frame, _ in frames][1:]
    if any(not file.startswith(_LOOKING) for file in files):
        return True
    in_mlflow = [file.removeprefix(_MLFLOW) for file in files if file.startswith(_MLFLOW)]
    raised_in = in_mlflow[-1].replace(os.sep, "/") if in_mlflow else ""
    return not raised_in.startswith(_LOOK_AT_INPUT)


def _refuse(error: MlflowException, message: str) -> NoReturn:
    """Raise what MLflow says of a body, without the body that it repeats."""
    message = _REPEATED_INPUT.sub(r"\1 \2", message)
    code, status = str(error.error_code), int(error.get_http_status_code())
    if status >= 500:  # noqa: PLR2004 - what a caller sent is no fault of ours
        code, status = _BAD_REQUEST, _BAD_REQUEST_STATUS
    raise ScoringError(presentable(message), code, status) from None


def _refuse_body(message: str) -> NoReturn:
    raise ScoringError(presentable(message), _BAD_REQUEST, _BAD_REQUEST_STATUS) from None


def _check_finite(answer: Any) -> None:
    """Raise NonFinitePredictionError for the first row in which a number is not finite."""
    rows = answer.get("predictions") if isinstance(answer, dict) else answer
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        try:
            json.dumps(row, allow_nan=False)
        except ValueError:
            raise NonFinitePredictionError(number) from None


def _read(kind: str, body: bytes, bounds: Bounds, most_columns: int) -> tuple[Any, str]:
    """Return what MLflow is given of a body, and the request's id that stands in it."""
    if kind == PARQUET:
        _check_parquet(body, bounds, most_columns)
        return body, ""
    if kind == CSV:
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            _refuse_body(f"Ensure that input is a valid UTF-8 encoded string. Error: {error}")
        _check_csv(text, bounds, most_columns)
        return text, ""
    try:
        # Not of a text: bytes may have a mark in front, or be of UTF-16, and MLflow takes both.
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        # Without the body, which the error's repr and MLflow's sentence would have.
        _refuse_body(f"Ensure that input is a valid JSON formatted string. Error: {error}")
    if not isinstance(given, Mapping):
        wanted = _scoring_server().REQUIRED_INPUT_FORMAT
        _refuse_body(f"{wanted}. Received {type(given).__name__}, no object.")
    _check_tables(given, bounds, most_columns)
    said = given.get("client_request_id")
    return given, presentable(said, _ID_CHARACTERS) if isinstance(said, str) else ""


def _check_tables(given: Mapping[str, Any], bounds: Bounds, most_columns: int) -> None:
    """Raise BodyTooLargeError for a frame that is much larger than what tells it, or far too wide.

    Rows that have a column each make a frame of their product, and so do an index and columns, one
    long row among many, and a number beside a long column.
    """
    tables = [given.get(name) for name in ("dataframe_records", "instances", "inputs")]
    _check_columns(max(map(_named_columns, tables)), most_columns)
    cells = max(map(_cells, tables))
    split = given.get("dataframe_split")
    if isinstance(split, dict):
        data = split.get("data")
        _check_columns(max(_size(split.get("columns")), _named_columns(data)), most_columns)
        rows = max(_size(data), _size(split.get("index")))
        cells = max(cells, _cells(data), rows * max(1, _size(split.get("columns"))))
    _check_cells(cells, bounds)


def _check_cells(cells: int, bounds: Bounds) -> None:
    if cells * _CELL_BYTES > bounds.decoded_bytes:
        raise BodyTooLargeError(f"the body has {cells} cells, more than a body of its size may")


def _check_columns(columns: int, most: int) -> None:
    if columns > most:
        raise BodyTooLargeError(f"the body has {columns} columns, and {most} may be read")


def _named_columns(table: Any) -> int:
    """Return how many columns a list of rows, or an object of columns, gives names to."""
    if isinstance(table, list):
        return len({name for row in table if isinstance(row, dict) for name in row})
    return len(table) if isinstance(table, dict) else 0


def _cells(table: Any) -> int:
    """Return how many cells a frame of a list of rows, or of an object of columns, has at most."""
    if isinstance(table, list):
        names = {name for row in table if isinstance(row, dict) for name in row}
        widest = max((len(row) for row in table if isinstance(row, list)), default=0)
        return len(table) * max(1, len(names), widest)
    if isinstance(table, dict):
        columns = table.values()
        keys = {key for column in columns if isinstance(column, dict) for key in column}
        longest = max((len(column) for column in columns if isinstance(column, list)), default=0)
        return len(table) * max(1, len(keys), longest)
    return 0


def _size(part: Any) -> int:
    return len(part) if isinstance(part, list | dict) else 0


def _check_csv(text: str, bounds: Bounds, most_columns: int) -> None:
    """Raise BodyTooLargeError for lines of a cell each below a header of many columns."""
    columns = 1
    try:
        # The header, and the first row: where that is longer, all have an index of the rest.
        records = (record for record in csv.reader(StringIO(text, newline="")) if len(record) > 1)
        columns = max(map(len, islice(records, 2)), default=1)
    except csv.Error:
        columns = 1 + text.count(",")
    _check_columns(columns, most_columns)
    _check_cells(columns * (1 + text.count("\n") + text.count("\r")), bounds)


def _check_parquet(body: bytes, bounds: Bounds, most_columns: int) -> None:
    """Raise BodyTooLargeError for a file that unpacks to more than a body of its size may."""
    from pyarrow import parquet  # noqa: PLC0415 - few callers send any

    unpacked = 0
    try:
        file = parquet.ParquetFile(BytesIO(body))
        _check_columns(file.metadata.num_columns, most_columns)
        # A column of nulls has no bytes until it is a frame's.
        _check_cells(file.metadata.num_rows * file.metadata.num_columns, bounds)
        for batch in file.iter_batches(_BATCH_ROWS):
            unpacked += batch.nbytes
            if unpacked > bounds.decoded_bytes:
                break
    except BodyTooLargeError:
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow has errors of many kinds
        _refuse_body(f"Failed to parse input as a Pandas DataFrame: {describe(error)}")
    if unpacked > bounds.decoded_bytes:
        raise BodyTooLargeError("the body unpacks to more than a body of its size may")
