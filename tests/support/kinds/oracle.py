"""What MLflow's pyfunc answers to rows, in the form in which the README says that we answer."""

import base64
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from tests.support.kinds.kind import Kind

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, at import
    from mlflow.utils.proto_json_utils import parse_tf_serving_input

DIGITS = 1e-9
_NUMPY = {"integer": "int32", "long": "int64", "float": "float32"}


def expected(kind: Kind, model: Any, rows: Sequence[Any], params: Any) -> list[Any]:
    """Return pyfunc's answer to each row. Raise what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.asks == "request":
            return [plain(model.predict(dict(row))) for row in rows]
        data = _data(kind, model, rows)
        output = model.predict(data, params=dict(params)) if kind.params else model.predict(data)
    if kind.one_answer:
        return [plain(output)]
    return by_row(output, len(rows), for_each_output=kind.name.startswith("fitted"))


def _data(kind: Kind, model: Any, rows: Sequence[Any]) -> Any:
    schema = model.metadata.get_input_schema()
    if kind.asks == "tensors":
        return parse_tf_serving_input({"instances": list(rows)}, schema)
    if kind.asks == "list":
        if model.metadata._is_signature_from_type_hint():
            (spec,) = schema.to_dict()
            return [_value(spec, row[0], of_python=True) for row in rows]
        return pd.DataFrame(list(rows))
    # JSON has no names that are numbers.
    frame = pd.DataFrame(list(rows)).rename(columns={str(n): n for n in schema.input_names()})
    for spec in schema.to_dict():
        if spec["name"] in frame:
            frame[spec["name"]] = _cast(spec, frame[spec["name"]])
    return frame


def _cast(spec: Any, column: "pd.Series[Any]") -> Any:
    """Return a column of a frame that JSON was read into, in the type that MLflow wants.

    MLflow's own server makes False of a boolean that is missing, takes no moment with a zone, and
    no integers in lists: so not by its functions.
    """
    kind = spec["type"]
    if kind in _NUMPY and not column.isna().any():
        return column.astype(np.dtype(_NUMPY[kind]))
    if kind == "double":
        return column.astype("float64")
    if kind in {"datetime", "binary", "array", "object", "map"}:
        values = [None if value is None else _value(spec, value) for value in column]
        return pd.Series(values, dtype="datetime64[ns]" if kind == "datetime" else object)
    return column


def _value(spec: Any, value: Any, *, of_python: bool = False) -> Any:  # noqa: PLR0911 - one each
    if value is None:
        return None
    match spec["type"]:
        case "binary":
            return base64.b64decode(value)
        case "datetime" if of_python:
            return datetime.fromisoformat(value)
        case "datetime":
            stamp = pd.Timestamp(value)
            stamp = stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
            return np.datetime64(stamp.as_unit("ns").value, "ns")
        case "integer" | "float" as kind:
            return np.dtype(_NUMPY[kind]).type(value)
        case "array":
            values = [_value(spec["items"], item, of_python=of_python) for item in value]
            # A list of numpy's moments would be one of integers for MLflow.
            moments = spec["items"]["type"] == "datetime" and not of_python
            return np.array(values, "datetime64[ns]") if moments else values
        case "map":
            inner = spec["values"]
            return {key: _value(inner, item, of_python=of_python) for key, item in value.items()}
        case "object":
            inner = spec["properties"]
            return {
                key: _value(inner[key], item, of_python=of_python) for key, item in value.items()
            }
    return value


def by_row(output: Any, rows: int, *, for_each_output: bool) -> list[Any]:
    """Split an answer into one for each row."""
    if type(output).__module__.startswith("scipy.sparse"):
        output = output.toarray()
    if isinstance(output, Iterator):
        output = list(output)
    if isinstance(output, pd.DataFrame):
        return [
            {str(name): plain(output.iloc[row, i]) for i, name in enumerate(output.columns)}
            for row in range(len(output))
        ]
    if isinstance(output, list) and for_each_output:
        return [[plain(array[row]) for array in output] for row in range(rows)]
    if isinstance(output, np.ndarray) and output.dtype.names:
        return [{name: plain(row[name]) for name in output.dtype.names} for row in output]
    if isinstance(output, pd.Series | list | tuple) or (
        isinstance(output, np.ndarray) and output.ndim
    ):
        return [plain(value) for value in output]
    if isinstance(output, Mapping):
        columns = {name: value for name, value in output.items() if np.ndim(_array(value))}
        scalar = len(columns) < len(output)
        if not scalar and all(len(value) == rows for value in columns.values()):
            return [{n: plain(_at(v, row)) for n, v in output.items()} for row in range(rows)]
    return [plain(output)]


def _array(value: Any) -> Any:
    return (
        [0]
        if isinstance(value, list | pd.Series)
        else value
        if isinstance(value, np.ndarray)
        else 0
    )


def _at(values: Any, row: int) -> Any:
    return values.iloc[row] if isinstance(values, pd.Series) else values[row]


def plain(value: Any) -> Any:  # noqa: C901, PLR0911 - one for each kind
    """Return a value as JSON has it; a moment as nanoseconds."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple | pd.Series):
        if isinstance(value, np.ndarray) and not value.ndim:
            return plain(value.item())
        return [plain(item) for item in value]
    if isinstance(value, np.datetime64):
        return moment(value)
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "isoformat"):
        return moment(value) if hasattr(value, "hour") else value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool | int | str):
        return value
    return float(value)  # Decimal


def moment(value: Any) -> str:
    """Return a moment in UTC to the nanosecond."""
    stamp = pd.Timestamp(value)
    stamp = stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
    return f"{stamp.as_unit('ns').value} ns"


def why_unlike(ours: Any, theirs: Any) -> str:
    """Say where our row differs from pyfunc's, '' where it does not.

    Decided differences: what has no name is called `prediction`, or as the signature has it; one
    value in a list is that value where the signature says one value a row; a key that a row left
    out is null beside rows that have it.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs and set(theirs) <= set(ours):
        for key, value in ours.items():
            if reason := difference(value, theirs.get(key)):
                return f"{key}: {reason}"
        return ""
    values = list(ours.values())
    if len(values) == 1:
        return difference(values[0], theirs)
    listed = list(theirs.values()) if isinstance(theirs, dict) else theirs
    return difference(values, listed)


def difference(ours: Any, theirs: Any) -> str:  # noqa: PLR0911 - one for each kind
    """Say where two values differ."""
    if isinstance(theirs, list) and len(theirs) == 1 and not isinstance(ours, list | None):
        return difference(ours, theirs[0])
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(ours) != len(theirs):
            return f"{len(ours)} items and {len(theirs)}"
        return next((r for a, b in zip(ours, theirs, strict=True) if (r := difference(a, b))), "")
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [key for key in (*ours, *theirs) if difference(ours.get(key), theirs.get(key))]
        return f"at {keys[0]}: {ours.get(keys[0])!r} and {theirs.get(keys[0])!r}" if keys else ""
    if isinstance(theirs, str) and theirs.endswith(" ns") and isinstance(ours, str):
        return "" if moment(ours) == theirs else f"{ours!r} and {theirs!r}"
    same_kind = isinstance(ours, bool) == isinstance(theirs, bool)
    if isinstance(ours, int | float) and isinstance(theirs, int | float) and same_kind:
        near = math.isclose(ours, theirs, rel_tol=DIGITS, abs_tol=1e-12)
        return "" if near else f"{ours!r} and {theirs!r}"
    return "" if same_kind and ours == theirs else f"{ours!r} and {theirs!r}"
