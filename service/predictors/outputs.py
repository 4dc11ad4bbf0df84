"""Turn whatever a pyfunc model answers into Predictions."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from service.contracts.contract import Contract, Predictions
from service.contracts.signature import DEFAULT_OUTPUT
from service.core.errors import ModelFailedError
from service.predictors.values import Values, to_values


class ModelOutputError(ModelFailedError):
    """An answer of the wrong shape or type; says what came and what was wanted."""


class _Found(NamedTuple):
    """A column of the model's answer: anything with one item a row."""

    name: str | None
    values: Any


def to_predictions(contract: Contract, output: Any, rows: int) -> Predictions:
    """Return the model's answer for so many rows, by name where it has names, else by position.

    Raise ModelOutputError for a wrong number of rows or columns, or a type that has no JSON.
    """
    chosen = _choose(contract, _columns(output, rows))
    names = [str(found.name) for found in chosen]
    if len(set(names)) < len(names):
        raise ModelOutputError(f"the model answered two columns of one name: {', '.join(names)}")
    kinds = {spec.name: spec.type for spec in contract.outputs}
    columns: list[Values] = []
    for name, values in chosen:
        if len(values) != rows:
            raise ModelOutputError(
                f"the model answered {len(values)} values of {name!r} for {rows} rows"
            )
        try:
            columns.append(to_values(values, kinds.get(str(name), "")))
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelOutputError(f"the model's answer {name!r} has no JSON: {error}") from error
    return Predictions(
        rows=rows,
        names=names,
        columns=[column.data for column in columns],
        dtypes=[column.dtype for column in columns],
        shapes=[column.shape for column in columns],
        non_finite=sorted(set().union(*(column.non_finite for column in columns))),
    )


def _columns(output: Any, rows: int) -> list[_Found]:  # noqa: PLR0911 - one for each kind
    """Split an answer into its columns."""
    output = _in_memory(output)
    if isinstance(output, pd.DataFrame):
        return [_Found(str(name), output.iloc[:, i]) for i, name in enumerate(output.columns)]
    if isinstance(output, pd.Series):
        return [_Found(None if output.name is None else str(output.name), output)]
    if isinstance(output, Mapping):
        return [_Found(str(name), _one_a_row(value, rows)) for name, value in output.items()]
    if isinstance(output, list | tuple):
        if output and all(isinstance(item, Mapping) for item in output):
            names = dict.fromkeys(name for item in output for name in item)
            return [_Found(str(name), [item.get(name) for item in output]) for name in names]
        return [_Found(None, _rectangle(list(output)))]
    if isinstance(output, np.ndarray) and output.dtype.names:
        return [_Found(name, output[name]) for name in output.dtype.names]
    return [_Found(None, _one_a_row(output, rows))]


def _in_memory(output: Any) -> Any:
    """Return what pandas, numpy or Python has for the containers of other libraries."""
    if type(output).__module__.startswith("scipy.sparse"):
        return output.toarray()
    if hasattr(output, "to_pandas"):  # pyarrow, polars
        return output.to_pandas()
    if isinstance(output, Iterator):
        return list(output)
    ours = pd.DataFrame | pd.Series | np.ndarray | np.generic
    if not isinstance(output, ours) and hasattr(output, "__array__"):  # torch, tensorflow
        return np.asarray(output)
    return output


def _one_a_row(values: Any, rows: int) -> Any:
    """Wrap a single answer to a single row."""
    if isinstance(values, list | tuple):
        values = list(values)
        return [values] if rows == 1 and len(values) != 1 else _rectangle(values)
    if isinstance(values, np.ndarray | pd.Series) and values.ndim:
        return values
    if rows != 1:
        raise ModelOutputError(
            f"the model answered one {type(values).__name__} for {rows} rows, wanted was one a row"
        )
    return values.reshape(1) if isinstance(values, np.ndarray) else [values]


def _rectangle(values: list[Any]) -> Any:
    """Return a list of lists as an array where it is one of numbers, else as it is."""
    if not values or not isinstance(values[0], list | tuple | np.ndarray):
        return values
    try:
        array = np.array(values)
    except (ValueError, TypeError):
        return values
    return array if array.dtype.kind in "biuf" else values


def _choose(contract: Contract, found: list[_Found]) -> list[_Found]:
    """Match the columns of an answer with the outputs of the signature."""
    if not found:
        raise ModelOutputError("the model answered no column at all")
    wanted = [spec.name for spec in contract.outputs]
    by_name = {column.name: column for column in found}
    if wanted and all(name in by_name for name in wanted):
        return [by_name[name] for name in wanted]
    if not wanted and found[0].name is not None:
        return found
    wanted = wanted or [DEFAULT_OUTPUT]
    if len(found) == 1 and len(wanted) > 1:
        found = _split(found[0].values, len(wanted)) or found
    elif len(found) > 1 and len(wanted) == 1 and not _is_named(contract):
        together = [to_list(column.values) for column in found]
        found = [_Found(None, _rectangle([list(row) for row in zip(*together, strict=True)]))]
    if len(found) != len(wanted):
        names = ", ".join(column.name or _shape(column.values) for column in found)
        raise ModelOutputError(
            f"the model answered {len(found)} columns ({names}), wanted were {', '.join(wanted)}"
        )
    return [_Found(name, column.values) for name, column in zip(wanted, found, strict=True)]


def _shape(values: Any) -> str:
    return f"without a name, of shape {np.shape(values)}" if hasattr(values, "shape") else "a list"


def to_list(values: Any) -> list[Any]:
    """Return a column as a list of its rows."""
    return values.tolist() if isinstance(values, np.ndarray | pd.Series) else list(values)


def _split(values: Any, width: int) -> list[_Found]:
    """Split a table without names into its columns, where it has so many."""
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == width:  # noqa: PLR2004 - rows and columns
            return [_Found(None, values[:, index]) for index in range(width)]
    elif len(values) and all(isinstance(row, list | tuple) and len(row) == width for row in values):
        return [_Found(None, [row[index] for row in values]) for index in range(width)]
    return []


def _is_named(contract: Contract) -> bool:
    return any(spec.get("name") is not None for spec in contract.signature.get("outputs") or ())
