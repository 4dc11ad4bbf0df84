"""Read the input example that MLflow logged beside a model, as instances of our own.

`serving_input_example.json` has one of `dataframe_split`, `dataframe_records`, `instances` and
`inputs`, and maybe `params`; `input_example.json`, all that older models have, the bare data
(`mlflow.models.utils._Example`, 3.17).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.contracts.contract import Contract, InputSpec, Layout

SERVING_EXAMPLE = "serving_input_example.json"
EXAMPLE = "input_example.json"


class NoExampleError(ValueError):
    """There is no example, or it has another form than the model's inputs; says which."""


def read_example(contract: Contract, model_dir: Path) -> dict[str, Any]:
    """Return a logged example as the body of a request. Raise NoExampleError."""
    for name in (SERVING_EXAMPLE, EXAMPLE):
        try:
            document = json.loads((model_dir / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise NoExampleError(f"{name} cannot be read: {error}") from error
        try:
            return _body(contract, document)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise NoExampleError(f"{name} has another form than the model's inputs") from error
    raise NoExampleError("the model was logged without an input example")


def _body(contract: Contract, document: Any) -> dict[str, Any]:
    params: Mapping[str, Any] = {}
    if isinstance(document, dict) and isinstance(document.get("params"), dict):
        params = document["params"]
    known = {spec["name"] for spec in contract.signature["params"] or ()}
    instances = [_mended(contract, row) for row in _instances(contract, document)]
    body: dict[str, Any] = {"instances": instances}
    if known:
        body["params"] = {name: value for name, value in params.items() if name in known}
    return body


def _instances(contract: Contract, document: Any) -> list[Any]:
    """Return one value a row, in the form of the contract's instances."""
    if isinstance(document, dict):
        split = document.get("dataframe_split", document if "data" in document else None)
        if split is not None:
            names = split.get("columns")
            names = list(map(str, names)) if names else None
            rows = [dict(zip(names, row, strict=True)) if names else row for row in split["data"]]
            return [_instance(contract, row) for row in rows]
        for key in ("dataframe_records", "instances", "inputs"):
            if key in document:
                document = document[key]
                break
    if isinstance(document, dict) and contract.layout is Layout.TENSORS:
        return _transposed(document)
    if isinstance(document, dict) and _is_columnar(contract, document):
        return _transposed(document)
    if isinstance(document, list) and not _is_one_row(contract, document):
        return [_instance(contract, row) for row in document]
    return [_instance(contract, document)]


def _transposed(columns: dict[str, list[Any]]) -> list[Any]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _is_columnar(contract: Contract, document: dict[str, Any]) -> bool:
    """Tell whether an object has a list of rows for each column, and is not itself one row."""
    nested = any(spec.type in {"array", "any", "sparkml_vector"} for spec in contract.inputs)
    lists = all(isinstance(value, list) for value in document.values())
    return contract.layout is Layout.COLUMNS and not nested and lists and bool(document)


def _is_one_row(contract: Contract, document: list[Any]) -> bool:
    if contract.layout is not Layout.POSITIONAL or len(contract.inputs) == 1:
        return False
    return not any(isinstance(value, list | dict) for value in document)


def _instance(contract: Contract, row: Any) -> Any:
    match contract.layout:
        case Layout.TENSOR:
            return list(row.values()) if isinstance(row, dict) else row
        case Layout.TENSORS:
            return row
        case Layout.POSITIONAL:
            if isinstance(row, dict) and contract.inputs[0].type not in {"object", "map", "any"}:
                return list(row.values())
            wrapped = isinstance(row, list) and contract.inputs[0].type != "array"
            return row if wrapped or (len(contract.inputs) > 1) else [row]
        case Layout.COLUMNS:
            if isinstance(row, dict):
                return row
            values = row if isinstance(row, list) and len(contract.inputs) > 1 else [row]
            return dict(zip((spec.name for spec in contract.inputs), values, strict=True))


def _mended(contract: Contract, instance: Any) -> Any:
    """Undo what writing a frame as JSON does to its values; leave out what is no input."""
    match contract.layout:
        case Layout.COLUMNS | Layout.TENSORS:
            return {
                spec.name: _mended_value(spec, instance[spec.name])
                for spec in contract.inputs
                if spec.name in instance
            }
        case Layout.POSITIONAL:
            specs = contract.inputs
            return [_mended_value(spec, value) for spec, value in zip(specs, instance, strict=True)]
        case Layout.TENSOR:
            return instance


def _mended_value(spec: InputSpec, value: Any) -> Any:
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124 - NaN
            return None
        if spec.type in {"integer", "long"} and value.is_integer():
            return int(value)
    if isinstance(value, str) and spec.type == "binary":
        return "".join(value.split())  # encodebytes breaks lines
    return value
