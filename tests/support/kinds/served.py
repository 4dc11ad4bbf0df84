"""A kind of model in a worker's own code, in this process: all but HTTP and the pipe's bytes."""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from service.codecs.catalog import ARROW, ROWS_AND_COLUMNS
from service.codecs.codec import Wanted
from service.codecs.rows_and_columns.codec import BY_ROWS, RowsAndColumns
from service.contracts.contract import Call, Contract, Predictions
from service.contracts.merge import merge
from service.core.errors import NonFinitePredictionError, NotAcceptableError
from service.core.version_names import VersionNames
from service.predictors.answer_rules import AnswerRules
from service.predictors.choosing.compiling import compile_model
from service.store import manifest
from service.store.compiled_files import FILES
from service.workers.inside.worker import Worker
from service.workers.messages import ActivateRequest, LoadRequest, RawReply, RawRequest
from tests.support.envelopes import decoded
from tests.support.kinds import kind as forms
from tests.support.kinds.kind import COLUMNS, Kind
from tools.arrow_bodies import stream, table_of

MAX_BYTES = 2**28
RTOL = 1e-12
_SCALARS = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "datetime": pa.timestamp("ns"),
}

Rows = Sequence[Any]


class Served:
    """A model that is loaded as a worker loads it, and answers bodies as the service does."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "model"
        kind.save(self.path)
        recorded = manifest.build(self.path)
        manifest.write(folder / manifest.MANIFEST_NAME, recorded)
        self.worker = Worker()
        rules = AnswerRules(any_rows=kind.any_rows, non_finite_is_null=kind.nulls)
        self.worker.load(
            LoadRequest(
                path=str(self.path),
                digest=recorded.digest,
                name=kind.name,
                refuse_unknown=False,
                threads=1,
                answers=rules,
            )
        )
        self.contract: Contract = self.worker.contract
        self.codec = RowsAndColumns(self.contract)
        self.model: Any = self.worker.model

    def compile(self, place: Path, *, first: bool) -> set[str]:
        """Answer by compiled predictors from now on; return which of them some size takes."""
        files = place / FILES
        files.mkdir(parents=True)
        compile_model(self.model, self.contract, self.path, files, 1, RTOL, first=first)
        manifest.write(place / manifest.MANIFEST_NAME, manifest.build(files))
        reply = self.worker.activate(ActivateRequest(str(place)))
        assert reply.report is not None, reply.reason
        return set(reply.report.best.values())

    def call(self, rows: Rows, params: Mapping[str, Any]) -> Call:
        """Return the call of these rows, as it comes out of the pipe."""
        call: Call = _piped(decoded(self.contract, self._body(rows, params)), Call)
        return call

    def answer(self, call: Call) -> Predictions:
        """Answer a call as the worker does."""
        predictions: Predictions = _piped(self.worker.predict_small(call), Predictions)
        if predictions.non_finite:
            raise NonFinitePredictionError(predictions.non_finite[0])
        return predictions

    def as_sent(self, rows: Rows, params: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the JSON of a request for rows, and of its answer, as they are on the wire."""
        answered = self.answer(self.call(rows, params))
        written = self.codec.encode(answered, 0, answered.rows, BY_ROWS, VersionNames("m", "1"))
        return json.loads(self._body(rows, params)), json.loads(written)

    def alone(self, rows: Rows, params: Mapping[str, Any]) -> list[Any]:
        """Return the answers to rows, an object each."""
        answered = self.answer(self.call(rows, params))
        return self._decoded(answered, 0, answered.rows, BY_ROWS)

    def in_form(self, form: str, rows: Rows, params: Mapping[str, Any]) -> list[list[Any]]:
        """Return the answers to the same rows in another form of body, in each form of answer."""
        if form == COLUMNS:
            names = dict.fromkeys(name for row in rows for name in row)
            columns = {name: [row.get(name) for row in rows] for name in names}
            body = self._wrapped({"columns": columns}, params)
            call, found = self.codec.decode(body)
            answered = self.answer(call)
            return [
                self._decoded(answered, 0, answered.rows, found),
                self._raw(body, ROWS_AND_COLUMNS),
            ]
        if form == forms.ARROW:
            body = stream(self._arrow(rows), metadata=_metadata(params))
            return self._in_each_media(body, ARROW)
        return self._in_each_media(self._body(rows, params), ROWS_AND_COLUMNS)

    def together(self, bodies: Sequence[tuple[Rows, Mapping[str, Any]]]) -> list[list[Any] | None]:
        """Return the answers to bodies that are merged; None for one that may not be."""
        calls = [self.call(*body) for body in bodies]
        merged = [
            call
            for call in calls
            if (call.params, call.filled) == (calls[0].params, calls[0].filled)
        ]
        predictions = self.answer(merge(merged))
        answers: list[list[Any] | None] = []
        start = 0
        for call in calls:
            if call not in merged:
                answers.append(None)
                continue
            answers.append(self._decoded(predictions, start, start + call.rows, BY_ROWS))
            start += call.rows
        return answers

    def chunked(self, rows: Rows, params: Mapping[str, Any]) -> list[Any]:
        """Return the answers to a body that is answered in chunks."""
        request = RawRequest(chunked=True, body=self._body(rows, params))
        steps: Any = self.worker.predict_raw(request)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return self._of_reply(end.value, ROWS_AND_COLUMNS)

    def _in_each_media(self, body: bytes, kind: str) -> list[list[Any]]:
        answers = [self._raw(body, ROWS_AND_COLUMNS, kind)]
        # Values of several types have no one type in Arrow, which the answer says.
        with suppress(NotAcceptableError):
            answers.append(self._raw(body, ARROW, kind))
        return answers

    def _raw(self, body: bytes, answer: str, kind: str = ROWS_AND_COLUMNS) -> list[Any]:
        request = RawRequest(kind, answer=answer, max_decoded_bytes=MAX_BYTES, body=body)
        reply: Any = self.worker.predict_raw(request)
        return self._of_reply(reply, answer)

    def _of_reply(self, reply: RawReply, answer: str) -> list[Any]:
        if reply.non_finite_row is not None:
            raise NonFinitePredictionError(reply.non_finite_row)
        if answer == ROWS_AND_COLUMNS:
            return _rows(json.loads(reply.body)["predictions"])
        table = table_of(reply.body)
        return [{name: _spelled(value) for name, value in row.items()} for row in table.to_pylist()]

    def _decoded(self, answered: Predictions, start: int, stop: int, wanted: Wanted) -> list[Any]:
        return _rows(
            json.loads(self.codec.encode(answered, start, stop, wanted, VersionNames()))[
                "predictions"
            ]
        )

    def _body(self, rows: Rows, params: Mapping[str, Any]) -> bytes:
        return self._wrapped({"instances": list(rows)}, params)

    def _wrapped(self, body: dict[str, Any], params: Mapping[str, Any]) -> bytes:
        if self.kind.params:
            body["params"] = dict(params)
        return json.dumps(body, ensure_ascii=False).encode()

    def _arrow(self, rows: Rows) -> Any:
        described = {str(spec["name"]): spec for spec in self.contract.signature["inputs"]}
        names = [name for name in described if any(name in row for row in rows)]
        return pa.table(
            {
                name: pa.array(
                    [_of_arrow(described[name], row.get(name)) for row in rows],
                    _arrow_type(described[name]),
                )
                for name in names
            }
        )


def _piped(value: Any, kind: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)


def _rows(answered: Any) -> list[Any]:
    if isinstance(answered, list):
        return answered
    return [dict(zip(answered, row, strict=True)) for row in zip(*answered.values(), strict=True)]


def _metadata(params: Mapping[str, Any]) -> dict[str, str]:
    return {"hotswap.params": json.dumps(params)} if params else {}


def _arrow_type(spec: Any) -> Any:
    if spec["type"] == "array":
        return pa.list_(_arrow_type(spec["items"]))
    return _SCALARS[spec["type"]]


def _of_arrow(spec: Any, value: Any) -> Any:
    if value is None:
        return None
    match spec["type"]:
        case "array":
            return [_of_arrow(spec["items"], item) for item in value]
        case "binary":
            return base64.b64decode(value)
        case "datetime":
            stamp = pd.Timestamp(value)
            return stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
    return value


def _spelled(value: Any) -> Any:
    """Return an Arrow value as JSON has it."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [_spelled(item) for item in value]
        case dict():
            return {key: _spelled(item) for key, item in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else value
