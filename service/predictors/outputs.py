"""Turn whatever a pyfunc model answers into Predictions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from service.contracts.contract import Contract, Predictions
from service.contracts.mlflow_types import SCALARS
from service.contracts.signature import DEFAULT_OUTPUT
from service.core.errors import ModelFailedError
from service.predictors.values import Values, to_values


class ModelOutputError(ModelFailedError):
    """An answer of the wrong shape or type; says what came and what was wanted."""


class RowCountError(ModelOutputError):
    """Answers to another number of rows than the model got."""

    def __init__(self, answered: str, rows: int | None, *, allowed: bool = False) -> None:
        hint = (
            ""
            if allowed
            else ", wanted was one a row (ROWS_OUT=any serves a model that answers another number)"
        )
        super().__init__(f"the model answered {answered} for {rows} rows{hint}")


class ForEachOutput(NamedTuple):
    """What scikit-learn answers for several outputs: for each an array with the rows first."""

    arrays: Sequence[Any]


class _Found(NamedTuple):
    """A column of the model's answer: anything with one item a row."""

    name: str | None
    values: Any


def to_predictions(contract: Contract, output: Any, rows: int | None) -> Predictions:
    """Return the model's answer for so many rows, by name where it has names, else by position.

    What a row's value is follows from the signature's type and from the type of the answer, never
    from how many rows there are or how long a value is. Any number of rows may be answered where
    `rows` is None. Raise ModelOutputError for a wrong number of rows or columns, or a type that has
    no JSON.
    """
    chosen = _choose(contract, _columns(contract, output, rows))
    names = [str(found.name) for found in chosen]
    if len(set(names)) < len(names):
        raise ModelOutputError(f"the model answered two columns of one name: {', '.join(names)}")
    kinds = {spec.name: spec.type for spec in contract.outputs}
    single = single_valued(contract)
    wanted = len(chosen[0].values) if rows is None else rows
    columns: list[Values] = []
    for name, values in chosen:
        if len(values) != wanted:
            raise RowCountError(f"{len(values)} values of {name!r}", wanted, allowed=rows is None)
        try:
            found = to_values(values, kinds.get(str(name), ""), single=str(name) in single)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelOutputError(f"the model's answer {name!r} has no JSON: {error}") from error
        columns.append(found)
    return Predictions(
        rows=wanted,
        names=names,
        columns=[column.data for column in columns],
        dtypes=[column.dtype for column in columns],
        shapes=[column.shape for column in columns],
        non_finite=sorted(set().union(*(column.non_finite for column in columns))),
    )


def single_valued(contract: Contract) -> frozenset[str]:
    """Return the outputs of which the signature says that they are one value a row."""
    raw = contract.signature["outputs"] or []
    tensors = {
        spec.name: list(described["tensor-spec"]["shape"][1:])
        for spec, described in zip(contract.outputs, raw, strict=False)
        if spec.type == "tensor" and len(raw) == len(contract.outputs)
    }
    return frozenset(
        spec.name
        for spec in contract.outputs
        if spec.type in SCALARS or tensors.get(spec.name) in ([], [1])
    )


def _columns(contract: Contract, output: Any, rows: int | None) -> list[_Found]:  # noqa: PLR0911 - one for each kind
    """Split an answer into its columns."""
    if isinstance(output, ForEachOutput):
        return [_Found(None, array) for array in output.arrays]
    output = _in_memory(output)
    if isinstance(output, pd.DataFrame):
        return [_Found(str(name), output.iloc[:, i]) for i, name in enumerate(output.columns)]
    if isinstance(output, pd.Series):
        return [_Found(None if output.name is None else str(output.name), output)]
    if isinstance(output, Mapping):
        return _of_mapping(contract, output, rows)
    if isinstance(output, list | tuple):
        return _of_list(contract, list(output))
    if isinstance(output, np.ndarray) and output.dtype.names:
        return [_Found(name, output[name]) for name in output.dtype.names]
    if isinstance(output, np.ndarray) and output.ndim:
        return [_Found(None, output)]
    _check_one_row(output, rows)
    return [_Found(None, [output])]


def _of_mapping(contract: Contract, output: Mapping[Any, Any], rows: int | None) -> list[_Found]:
    """Split a mapping: a column for each key, or all of it is the answer to a single row."""
    output = {name: _in_memory(value) for name, value in output.items()}
    if not _is_one_answer(contract, output):
        return [_Found(str(name), _stacked(values)) for name, values in output.items()]
    _check_one_row(output, rows)
    return _of_list(contract, [output])


def _is_one_answer(contract: Contract, output: Mapping[Any, Any]) -> bool:
    """Tell whether a mapping answers one row, by its types; one of lists has a column a key."""
    if _answers_objects(contract):
        return True
    raw = contract.signature["outputs"] or ()
    described = {str(spec.get("name")): spec for spec in raw}
    for name, value in output.items():
        if not (isinstance(value, list | tuple | pd.Series) or np.ndim(_of_numpy(value))):
            return True
        spec = described.get(str(name), {})
        if spec.get("type") == "array" and _levels(value) <= _declared_levels(spec):
            return True
    return False


def _of_numpy(value: Any) -> Any:
    """Return a value where numpy can tell its dimensions, and a number for all others."""
    return value if isinstance(value, np.ndarray) else 0


def _levels(value: Any) -> int:
    """Return how deep lists are within each other; an array counts for its dimensions."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.ndim
    if isinstance(value, list | tuple | pd.Series | np.ndarray):
        return 1 + max((_levels(item) for item in value), default=0)
    return 0


def _declared_levels(spec: Any) -> int:
    return 1 + _declared_levels(spec["items"]) if spec.get("type") == "array" else 0


def _of_list(contract: Contract, output: list[Any]) -> list[_Found]:
    """Split a list with an item a row: objects into their keys, unless the objects are wanted."""
    if not output or not all(isinstance(item, Mapping) for item in output):
        return [_Found(None, _stacked(output))]
    if _answers_objects(contract):
        return [_Found(None, output)]
    rows = [{str(key): value for key, value in item.items()} for item in output]
    names = list(dict.fromkeys(name for row in rows for name in row))
    wanted = [spec.name for spec in contract.outputs]
    if _is_named(contract) and not set(wanted).isdisjoint(names):
        # A key that every row left out is missing, as one that some left out.
        names = wanted
    return [_Found(name, [row.get(name) for row in rows]) for name in names]


def _answers_objects(contract: Contract) -> bool:
    """Tell whether the signature says that a row's answer is an object without a name."""
    raw = contract.signature["outputs"] or []
    return len(raw) == 1 and not _is_named(contract) and raw[0].get("type") in {"object", "map"}


def _check_one_row(output: Any, rows: int | None) -> None:
    if rows not in {1, None}:
        raise RowCountError(f"one {type(output).__name__}", rows)


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


def _stacked(values: Any) -> Any:
    """Return a list of arrays as one array where they have one type, else as it is."""
    if not (isinstance(values, list) and values and isinstance(values[0], np.ndarray)):
        return values
    first = values[0]
    alike = all(
        isinstance(value, np.ndarray) and (value.dtype, value.shape) == (first.dtype, first.shape)
        for value in values
    )
    return np.stack(values) if alike and first.ndim and first.dtype.kind in "biuf" else values


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
        found = [_Found(None, _together([values for _, values in found]))]
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


def _together(columns: list[Any]) -> Any:
    """Return columns as one, of which a row has a list with its value of each."""
    if all(isinstance(column, pd.Series) for column in columns):
        columns = [_numbers_of(column) for column in columns]
    first = columns[0]
    if isinstance(first, np.ndarray) and all(
        isinstance(column, np.ndarray)
        and (column.dtype, column.shape) == (first.dtype, first.shape)
        and column.dtype.kind in "biuf"
        for column in columns
    ):
        return np.stack(columns, axis=1)
    if len({len(column) for column in columns}) > 1:
        raise ModelOutputError("the model answered columns that are not of one length")
    return [list(row) for row in zip(*map(to_list, columns), strict=True)]


def _numbers_of(series: "pd.Series[Any]") -> Any:
    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series


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
