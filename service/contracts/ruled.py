"""A contract that is read off a signature, with rules that a team has written for its rows."""

import math
import types
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from service.contracts.contract import Call, Layout, Values
from service.contracts.derived import DerivedContract
from service.contracts.faults import Fault, fault_in, first_index
from service.contracts.mlflow_types import EPOCH, Moment
from service.contracts.places import Places
from service.core.errors import ContractViolationError, SignatureError

_AS_THEY_ARE = frozenset({"boolean", "integer", "long", "float", "double", "string"})
"""Types whose values are the same in JSON and in Python."""
_NS_IN_US = 1000


class RuledContract(DerivedContract):
    """Types and forms are the signature's; then each row has to make a `row`, a msgspec Struct.

    A field of it is an input of that name. An input without a field has no rule beyond its type.
    """

    def __init__(
        self, row: type[msgspec.Struct], signature: dict[str, Any], *, refuse_unknown: bool
    ) -> None:
        """Raise SignatureError where the signature has no such inputs, or can't be served."""
        super().__init__(signature, refuse_unknown=refuse_unknown)
        self.row = row
        fields = [field.encode_name for field in msgspec.structs.fields(row)]
        at = {spec.name: index for index, spec in enumerate(self.inputs)}
        missing = sorted(set(fields) - set(at))
        if self.layout is not Layout.COLUMNS or missing:
            what = f"no input {', '.join(missing)}" if missing else "no named columns"
            where = f"{row.__module__}.{row.__qualname__}"
            raise SignatureError(f"{where} is for another model: {what}")
        self._at = {name: at[name] for name in fields}
        self._rows_type: Any = list[row]  # type: ignore[valid-type]
        self._column_types: list[Any] = [
            types.GenericAlias(list, (field.type,)) for field in msgspec.structs.fields(row)
        ]
        self._makes_rows = hasattr(row, "__post_init__")

    def call_of(
        self,
        rows: int,
        columns: Sequence[Values],
        params: dict[str, msgspec.Raw] | None,
        places: Places,
    ) -> Call:
        """Return the call for values whose types are right; see Contract."""
        columns = list(columns)
        call = super().call_of(rows, columns, params, places)
        self._hold(rows, columns, places)
        return call

    def _hold(self, rows: int, columns: Sequence[Values], places: Places) -> None:
        """Hold each row to the rules. An input that was not sent is a field that is not there."""
        there = {
            name: _written(self.inputs[index].type, columns[index])
            for name, index in self._at.items()
            if len(columns[index])
        }
        if len(there) == len(self._at) and self._fit(list(there.values())):
            return
        made = [
            {name: values[row] for name, values in there.items() if values[row] is not UNSET}
            for row in range(rows)
        ]
        try:
            msgspec.convert(made, self._rows_type)
        except msgspec.ValidationError as error:
            raise self._violation(fault_in(error, made), places) from None

    def _fit(self, columns: list[Sequence[Any]]) -> bool:
        """Tell whether all rows keep the rules, in half of the time that it takes to tell which.

        False may mean no more than that a row has no value for some field.
        """
        try:
            read = [
                msgspec.convert(column, kind)
                for column, kind in zip(columns, self._column_types, strict=True)
            ]
            if self._makes_rows:
                for values in zip(*read, strict=True):
                    self.row(*values)
        except (ValueError, TypeError):
            return False
        return True

    def _violation(self, fault: Fault, places: Places) -> ContractViolationError:
        """Return the error for a fault at a place such as `[3].alcohol`."""
        row = first_index(fault.place) or 0
        place = fault.place[len(f"[{row}]") :]
        names = [name for name in self._at if f"{place[1:]}.".startswith((f"{name}.", f"{name}["))]
        if names:
            name = max(names, key=len)
            path = places.values[self._at[name]](row) + place[1 + len(name) :]
        else:
            path = places.row(row) if places.row else places.rows
        return ContractViolationError(path, row, fault.expected, fault.got)


def _written(kind: str, column: Values) -> Sequence[Any]:
    """Return values as JSON has them, which is how a Struct's fields may be declared."""
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "M":
            # Finer than a datetime of Python's is, and rounded for that.
            column = column.astype("datetime64[us]")
        values: list[Any] = column.tolist()
        if column.dtype.kind == "f" and np.isnan(column).any():
            return [None if math.isnan(value) else value for value in values]
        return values if column.dtype.kind != "M" else _plain(values)
    return column if kind in _AS_THEY_ARE else _plain(column)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [value if value is UNSET else _builtin(value) for value in values]


def _builtin(value: Any) -> Any:
    if isinstance(value, Moment):
        value = EPOCH + timedelta(microseconds=value.ns // _NS_IN_US)
    return msgspec.to_builtins(value)
