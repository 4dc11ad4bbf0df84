"""Turn the columns of a call into what a pyfunc model takes.

The dtypes are those that MLflow's own schema enforcement accepts unchanged
(`mlflow.models.utils._enforce_schema`, 3.17). In three places pandas has a choice:

- strings are pandas' own `str` from pandas 3 on, as in any frame that pandas made; objects before;
- an optional integer column with a null in it is float64 with NaN, the way in which MLflow
  documents integers with missing values; without a null it is the signature's integer type;
- nested values stay Python's own, but for 32-bit numbers and datetimes, which MLflow accepts only
  as numpy's.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from service.contracts.contract import Call, Column, Contract, InputSpec, Layout
from service.contracts.filling import with_all_columns

_STRING = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"  # noqa: PLR2004
_INTEGERS = {"integer": "int32", "long": "int64"}
_NUMPY_ONLY = {"integer": "int32", "float": "float32", "datetime": "datetime64[ns]"}

ModelInput = pd.DataFrame | np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]


def to_model_input(contract: Contract, call: Call, *, hinted: bool = False) -> ModelInput:
    """Return the call as the model's signature has it: a frame, an array, or named arrays.

    `hinted` is whether the signature is that of a type hint, which wants Python's own types.
    """
    specs = contract.inputs
    raw = contract.signature["inputs"]
    match contract.layout:
        case Layout.TENSOR:
            return _tensor(specs[0], raw[0], call.columns[0], call.rows)
        case Layout.TENSORS:
            return {
                spec.name: _tensor(spec, described, column, call.rows)
                for spec, described, column in zip(specs, raw, call.columns, strict=True)
            }
        case _:
            return to_frame(contract, call, hinted=hinted)


def column_names(contract: Contract) -> list[Any]:
    """Return the names that the columns have in the model's frame: a name may be a number.

    A column without a name is called by its place.
    """
    if contract.layout is Layout.POSITIONAL:
        return list(range(len(contract.inputs)))
    return [described["name"] for described in contract.signature["inputs"]]


def to_frame(
    contract: Contract,
    call: Call,
    wanted: Collection[Any] | None = None,
    *,
    hinted: bool = False,
) -> pd.DataFrame:
    """Return the frame of a call whose inputs are columns: all of them, or those wanted at least.

    It has no column that nobody sent; but of a call that has none, MLflow would lose the rows, too.
    """
    if call.lacks_columns and not any(call.columns):
        call = with_all_columns(contract.inputs, call)
    specs = contract.inputs
    names = column_names(contract)
    dtypes = {spec.dtype for spec in specs}
    if len(dtypes) == 1 and specs[0].dtype and not call.lacks_columns:
        block = _array(b"".join(call.columns), specs[0].dtype)  # type: ignore[arg-type]
        return pd.DataFrame(block.reshape(len(specs), call.rows).T, columns=names, copy=False)
    columns = {
        name: _series(spec, described, column, hinted=hinted)
        for name, spec, described, column in zip(
            names, specs, contract.signature["inputs"], call.columns, strict=True
        )
        if column and (wanted is None or name in wanted)
    }
    return pd.DataFrame(columns, copy=False)


def _array(column: bytes, dtype: str) -> "np.ndarray[Any, Any]":
    # Over a bytearray, since a model may write into its input.
    return np.frombuffer(bytearray(column), dtype)


def _series(spec: InputSpec, described: dict[str, Any], column: Column, *, hinted: bool) -> Any:
    if isinstance(column, bytes):
        return _array(column, spec.dtype)
    if spec.type == "string":
        # pandas has no text in a column of nothing but None.
        empty = all(value is None for value in column)
        return pd.Series(column, dtype="object" if empty else _STRING)
    if spec.type in _INTEGERS:
        missing = any(value is None for value in column)
        return np.array(column, "float64" if missing else _INTEGERS[spec.type])
    if spec.type == "boolean" and all(value is not None for value in column):
        return np.array(column, "bool")
    own = of_python if hinted else revive
    return _objects([own(value, described) for value in column])


def _objects(values: list[Any]) -> "np.ndarray[Any, Any]":
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):  # a slice would spread lists over dimensions
        array[index] = value
    return array


def revive(value: Any, described: dict[str, Any]) -> Any:  # noqa: PLR0911 - one a kind
    """Return a nested value with the numpy types that MLflow insists on."""
    if value is None:
        return None
    kind = described["type"]
    match kind:
        case "integer" | "float" | "datetime":
            return np.array(value, _NUMPY_ONLY[kind])[()]
        case "array":
            items = described["items"]
            if items["type"] in _NUMPY_ONLY:
                return np.array(value, _NUMPY_ONLY[items["type"]])
            return [revive(item, items) for item in value]
        case "map":
            return {key: revive(item, described["values"]) for key, item in value.items()}
        case "object":
            properties = described["properties"]
            return {key: revive(item, properties[key]) for key, item in value.items()}
    return value


def of_python(value: Any, described: dict[str, Any]) -> Any:
    """Return a nested value with Python's own datetimes."""
    match described["type"], value:
        case "datetime", str():
            return datetime.fromisoformat(value)
        case "array", list():
            return [of_python(item, described["items"]) for item in value]
        case "map", dict():
            return {key: of_python(item, described["values"]) for key, item in value.items()}
        case "object", dict():
            properties = described["properties"]
            return {key: of_python(item, properties[key]) for key, item in value.items()}
    return value


def _tensor(
    spec: InputSpec, described: dict[str, Any], column: Column, rows: int
) -> "np.ndarray[Any, Any]":
    if isinstance(column, bytes):
        return _array(column, spec.dtype).reshape(rows, *spec.shape)
    dtype = described["tensor-spec"]["dtype"]
    if dtype == "object" and not spec.shape:
        return _objects(column)
    try:
        return np.array(column, dtype)
    except ValueError:  # rows of different shapes
        return _objects([np.array(value, dtype) for value in column])
