"""Make rows that differ from each other, out of one row or a few."""

from datetime import date, timedelta
from typing import Any

import numpy as np

from service.contracts.contract import Call, Column, Contract, InputSpec
from service.contracts.merge import take

PROBE_ROWS = 8
_STEP = 0.1
_DAY_US = 86_400_000_000


def varied(contract: Contract, base: Call, *, bold: bool, nulls: bool) -> Call:
    """Return PROBE_ROWS rows like those of `base`, of which at most the first half are the same.

    Numbers are multiplied by factors in (0, 1), so that what was within [0, 1] stays there;
    integers keep their sign; strings and nested values change places. `bold` changes zeros and
    strings that all rows share, too; `nulls` leaves a hole in each optional column.
    """
    rows = take(base, [row % base.rows for row in range(PROBE_ROWS)])
    kept = min(base.rows, PROBE_ROWS // 2)
    columns = [
        _vary(spec, column, index, kept, bold=bold)
        for index, (spec, column) in enumerate(zip(contract.inputs, rows.columns, strict=True))
    ]
    if nulls:
        columns = [
            column
            if spec.required or not column
            else _with_null(spec, column, PROBE_ROWS - 1 - index % 3)
            for index, (spec, column) in enumerate(zip(contract.inputs, columns, strict=True))
        ]
    return Call(PROBE_ROWS, columns, base.params, base.filled)


def distinct(call: Call) -> int:
    """Return how many rows of a call differ."""
    return len({repr(take(call, [row]).columns) for row in range(call.rows)})


def _factor(row: int, index: int) -> float:
    return 1 - _STEP * (1 + (row + 3 * index) % PROBE_ROWS)


def _vary(spec: InputSpec, column: Column, index: int, kept: int, *, bold: bool) -> Column:
    changing = range(kept, PROBE_ROWS)
    if not column:  # nobody sent it, or it is a tensor with an empty dimension
        return column
    if isinstance(column, list):
        values = list(column)
        same = len(set(map(repr, column))) == 1
        for row in changing:
            value = column[(row + index + 1) % PROBE_ROWS]
            values[row] = _vary_value(spec, value, row, index, bold=bold and same)
        return values
    array = np.frombuffer(bytearray(column), spec.dtype).reshape(PROBE_ROWS, -1)
    for row in changing:
        _vary_array(array[row], row, index, bold=bold)
    return array.tobytes()


def _vary_array(values: "np.ndarray[Any, Any]", row: int, index: int, *, bold: bool) -> None:
    factor, zeros = _factor(row, index), values == 0
    match values.dtype.kind:
        case "f":
            values *= factor
            if bold:
                values[zeros] = _STEP / 2 * (row + 1)
        case "i" | "u":
            smaller = np.trunc(values * factor).astype(values.dtype)
            values[:] = np.where((smaller == 0) & ~zeros, np.sign(values), smaller)
            if bold:
                values[zeros] = row % 2
        case "b":
            values ^= row % 2 == 1
        case "M":
            values -= np.timedelta64(row * _DAY_US, "us")


def _vary_value(spec: InputSpec, value: Any, row: int, index: int, *, bold: bool) -> Any:
    match value:
        case bool():
            return value != (row % 2 == 1)
        case int() if spec.type in {"integer", "long"}:
            smaller = int(value * _factor(row, index))
            return smaller or (value and (1 if value > 0 else -1)) or (row % 2 if bold else 0)
        case str() if spec.type == "string":
            return _vary_string(value, row, bold=bold)
    return value


def _vary_string(value: str, row: int, *, bold: bool) -> str:
    try:
        return (date.fromisoformat(value) - timedelta(days=31 * row)).isoformat()
    except (ValueError, OverflowError):
        return f"{value} {row}" if bold else value


def _with_null(spec: InputSpec, column: Column, row: int) -> Column:
    if isinstance(column, list):
        return [*column[:row], None, *column[row + 1 :]]
    array = np.frombuffer(bytearray(column), spec.dtype)
    array[row] = np.datetime64("NaT") if array.dtype.kind == "M" else np.nan
    return array.tobytes()
