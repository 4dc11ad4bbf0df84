"""A contract that is read off a signature, with rules that a team has written for its rows."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from service.contracts.contract import Call, Form, Layout, TypedColumn
from service.contracts.derived import DerivedContract
from service.contracts.faults import decode
from service.core.errors import ContractViolationError, SignatureError

_ROW = re.compile(r"instances\[(\d+)\]\.?")


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
        self._ruled = [(name, at[name]) for name in fields]
        self._rows_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct(
                "Ruled",
                [("instances", Annotated[list[row], Meta(min_length=1)] | UnsetType, UNSET)],  # type: ignore[valid-type]
            )
        )

    def read(self, body: bytes) -> tuple[Call, Form]:
        """Do as `decode` does, and tell the body's form; see Contract."""
        call, form = super().read(body)
        if form is Form.ROWS:
            decode(self._rows_decoder, body)
        else:
            columns = decode(_any_columns, body).columns
            self._hold(call.rows, columns)
        return call, form

    def call_of(
        self, rows: int, columns: Sequence[TypedColumn], params: dict[str, msgspec.Raw] | None
    ) -> Call:
        """Return the call for columns whose types are right; see Contract."""
        call = super().call_of(rows, columns, params)
        self._hold(rows, {name: _plain(columns[index]) for name, index in self._ruled})
        return call

    def _hold(self, rows: int, columns: Mapping[str, list[Any]]) -> None:
        """Hold whole columns to what rows are held to. A column that was not sent has no values."""
        there = [(name, columns[name]) for name, _ in self._ruled if columns.get(name)]
        written = [{name: values[row] for name, values in there} for row in range(rows)]
        try:
            decode(self._rows_decoder, msgspec.json.encode({"instances": written}))
        except ContractViolationError as error:
            name = _ROW.sub("", error.path, count=1)
            path = f"columns.{name}[{error.row}]" if name else "columns"
            raise ContractViolationError(path, error.row, error.expected, error.got) from None


class _Columns(msgspec.Struct):
    columns: dict[str, list[Any]]


_any_columns = msgspec.json.Decoder(_Columns)


def _plain(column: TypedColumn) -> list[Any]:
    """Return a column's values as JSON has them."""
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind == "M":
        # Finer than a datetime of Python's is, and rounded for that.
        column = column.astype("datetime64[us]")
    values: list[Any] = column.tolist()
    return values
