"""Bodies of MLflow's scoring protocol for any kind of model: right ones, odd ones and broken ones.

They are made of a model's rows, so each kind of model gets the same faults in its own columns.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
VALUES: tuple[Any, ...] = (None, "1.5", "x", 1.9, True, 2**70, [], {}, -1, 300)
"""What each column is given instead of its own values."""


class Body(NamedTuple):
    """A body with its kind, and what it stands for."""

    name: str
    kind: str
    content: bytes


def all_bodies(rows: Sequence[Any], params: Mapping[str, Any] | None = None) -> list[Body]:
    """Return every body for a model that takes these rows, each under a name of its own."""
    bodies = [*_envelopes(rows, params or {"nope": 1}), *_broken()]
    if all(isinstance(row, dict) for row in rows):
        bodies.extend(_frames(rows))
    else:
        bodies.extend(_lists(rows))
    assert len({body.name for body in bodies}) == len(bodies)
    return bodies


def as_json(name: str, document: Any) -> Body:
    """Return a JSON body; NaN and infinity are written as Python writes them."""
    return Body(name, JSON, json.dumps(document, default=_written).encode())


def _envelopes(rows: Sequence[Any], params: Mapping[str, Any]) -> Iterator[Body]:
    """Yield what needs no names of columns: the four keys, what is beside them, the LLM form."""
    hello = [{"role": "user", "content": "hi"}]
    documents: dict[str, Any] = {
        "instances": {"instances": rows},
        "instances, one row": {"instances": rows[:1]},
        "inputs, rows": {"inputs": rows},
        "params": {"instances": rows, "params": params},
        "params that are unknown": {"instances": rows, "params": {"nobody": 1}},
        "params that are no object": {"instances": rows, "params": [1]},
        "params of other types": {"instances": rows, "params": {name: {} for name in params}},
        "inputs with params": {"inputs": rows, "params": params},
        "other keys": {"instances": rows, "client_request_id": "x", "foo": 1},
        "signature_name": {"instances": rows, "signature_name": "x"},
        "no instances": {"instances": []},
        "no inputs": {"inputs": {}},
        "null inputs": {"inputs": None},
        "no key": {},
        "two keys": {"instances": rows, "inputs": rows},
        "a list": rows,
        "a number": 3,
        "a row": rows[0],
        "a scalar of instances": {"instances": 1},
        "a scalar of inputs": {"inputs": 1},
        "messages": {"messages": hello},
        "messages and instances": {"messages": hello, "instances": rows},
        "prompt": {"prompt": "hi"},
        "input": {"input": hello, "temperature": 1},
        "split that is no object": {"dataframe_split": [1]},
        "split with another key": {"dataframe_split": {"data": [[1]], "foo": 1}},
        "records that are an object": {"dataframe_records": {"a": 1}},
    }
    for name, document in documents.items():
        yield as_json(name, document)


def _broken() -> Iterator[Body]:
    """Yield what can't be read, whatever the model takes."""
    yield Body("cut off", JSON, b'{"instances": [1,')
    yield Body("no body", JSON, b"")
    yield Body("no UTF-8", JSON, b'{"instances": ["\xff"]}')
    yield Body("a mark in front", JSON, b'\xef\xbb\xbf{"instances": [1]}')
    yield Body("UTF-16", JSON, '{"instances": ["ä"]}'.encode("utf-16"))
    yield Body("very deep", JSON, b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield Body("a very long number", JSON, b'{"instances": [' + b"9" * 5_000 + b"]}")
    yield Body("half a surrogate", JSON, b'{"instances": ["\\ud800"]}')
    yield Body("no CSV", CSV, b"")
    yield Body("CSV without rows", CSV, b"a,b\n")
    yield Body("broken CSV", CSV, b'a,b\n1,2,3\n1,"')
    yield Body("CSV that is no UTF-8", CSV, b"a\n\xff\n")
    yield Body("broken Parquet", PARQUET, b"PAR1nope")


def _lists(rows: Sequence[Any]) -> Iterator[Body]:
    yield as_json("records", {"dataframe_records": rows})
    yield as_json("split", {"dataframe_split": {"data": rows}})
    yield as_json("inputs by a name", {"inputs": {"a": rows}})
    yield as_json(
        "inputs, values",
        {"inputs": [row[0] if isinstance(row, list) and row else row for row in rows]},
    )
    yield Body("CSV", CSV, b"0,1,2\n1,2,3\n")


def _frames(rows: Sequence[Mapping[str, Any]]) -> Iterator[Body]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    data = [[row.get(name) for name in names] for row in rows]
    columns = {name: [row.get(name) for row in rows] for name in names}
    index = list(range(5, 5 + len(rows)))
    less = [{name: row[name] for name in list(row)[1:]} for row in rows]
    documents: dict[str, Any] = {
        "inputs, columns": {"inputs": columns},
        "records": {"dataframe_records": rows},
        "split": {"dataframe_split": {"columns": names, "data": data}},
        "split with an index": {
            "dataframe_split": {"columns": names, "index": index, "data": data}
        },
        "split without columns": {"dataframe_split": {"data": data}},
        "split with a short row": {"dataframe_split": {"columns": names, "data": [data[0][:-1]]}},
        "a column more": {"dataframe_records": [{**row, "zzz": 1} for row in rows]},
        "a column less": {"dataframe_records": less},
        "a column less in some": {"dataframe_records": [rows[0], *less[1:]]},
        "columns in another order": {
            "dataframe_split": {
                "columns": names[::-1],
                "data": [values[::-1] for values in data],
            }
        },
        "columns of unequal length": {
            "inputs": {
                name: values[: i % 2 + 1] for i, (name, values) in enumerate(columns.items())
            }
        },
        "NaN": {"dataframe_records": [dict.fromkeys(row, float("nan")) for row in rows]},
        "Infinity": {"inputs": {name: [float("inf")] * len(rows) for name in names}},
    }
    for value in VALUES:
        records = [dict.fromkeys(row, value) for row in rows]
        documents[f"{value!r} in records"] = {"dataframe_records": records}
        documents[f"{value!r} in instances"] = {"instances": records}
    for name, document in documents.items():
        yield as_json(name, document)
    twice = f'{{"instances": [1], "instances": {json.dumps(rows, default=_written)}}}'
    yield Body("a key twice", JSON, twice.encode())
    frame = pd.DataFrame(list(rows), columns=names)
    yield Body("CSV", CSV, frame.to_csv(index=False).encode())
    yield Body("CSV without a header", CSV, frame.to_csv(index=False, header=False).encode())
    # Values of several types have no one column there.
    with suppress(pa.ArrowException, ValueError):
        file = io.BytesIO()
        frame.to_parquet(file)
        yield Body("Parquet", PARQUET, file.getvalue())


def _written(value: Any) -> Any:
    """Return a value that JSON has none for as callers write it."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
