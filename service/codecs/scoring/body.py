"""The bodies of MLflow's scoring protocol of which it is certain what MLflow makes of them.

Those have all columns and no others, each with values of one JSON type that MLflow's casts leave as
they are: no number in quotes, no null, no integer that a detour by a float would change.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from service.codecs.codec import NotPlainError
from service.contracts.contract import Contract, Layout
from service.contracts.keys import plain_names

_EXACT = 2**53
"""Integers beyond this are not all kept where a column has a float as well."""
_TYPES: dict[str, Any] = {
    "double": float,
    "long": Annotated[int, Meta(ge=-_EXACT, le=_EXACT)],
    "integer": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "boolean": bool,
    "string": str,
}
"""By MLflow's name of a column's type, what its values are in JSON."""
_NEGATIVE_ZERO = re.compile(rb"-0(?![.0-9eE])")
"""An integer to Python, which has no sign then, and a float with one to others."""


class _Split(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    columns: list[str]
    data: msgspec.Raw
    index: list[int | str] | UnsetType = UNSET
    """MLflow's own client sends it, and no answer has it."""


class PlainBodies:
    """Reads the plain bodies of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._names = [spec.name for spec in contract.inputs]
        types = [_TYPES[spec.type] for spec in contract.inputs]
        fields = [f"f{index}" for index in range(len(types))]
        rename = dict(zip(fields, self._names, strict=True))
        row: Any = _struct("Row", zip(fields, types, strict=True), rename)
        lists = [Annotated[list[kind], Meta(min_length=1)] for kind in types]  # type: ignore[valid-type]
        columns: Any = _struct("Columns", zip(fields, lists, strict=True), rename)
        rows = Annotated[list[row], Meta(min_length=1)]
        body: Any = msgspec.defstruct(
            "Body",
            [
                ("dataframe_split", _Split | UnsetType, UNSET),
                ("dataframe_records", rows | UnsetType, UNSET),
                ("instances", rows | UnsetType, UNSET),
                ("inputs", columns | UnsetType, UNSET),
                ("client_request_id", str, ""),
            ],
            forbid_unknown_fields=True,
            gc=False,
        )
        self._bodies = msgspec.json.Decoder(body)
        self._data: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(
            Annotated[list[tuple[tuple(types)]], Meta(min_length=1)]  # type: ignore[misc]
        )

    def read(self, body: bytes) -> tuple[int, list[Sequence[Any]], str]:
        """Return how many rows a body has, its columns, and what it calls the request.

        Raise NotPlainError for every other body.
        """
        if b"-0" in body and _NEGATIVE_ZERO.search(body):
            raise NotPlainError
        try:
            given = self._bodies.decode(body)
            columns = self._columns(given)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise NotPlainError from None
        rows = len(columns[0])
        if any(len(column) != rows for column in columns):
            raise NotPlainError
        return rows, columns, given.client_request_id

    def _columns(self, given: Any) -> list[Sequence[Any]]:
        forms = (given.dataframe_split, given.dataframe_records, given.instances, given.inputs)
        split, records, instances, inputs = forms
        if sum(form is not UNSET for form in forms) != 1:
            raise NotPlainError
        if inputs is not UNSET:
            return list(astuple(inputs))
        if split is not UNSET:
            if split.columns != self._names:
                raise NotPlainError
            data = self._data.decode(split.data)
            if split.index is not UNSET and len(split.index) != len(data):
                raise NotPlainError
            return list(zip(*data, strict=True))
        rows = records if records is not UNSET else instances
        return list(zip(*map(astuple, rows), strict=True))


def is_plain(contract: Contract) -> bool:
    """Tell whether a contract has plain bodies: named columns of scalars, none of them optional."""
    return (
        contract.layout is Layout.COLUMNS
        and bool(contract.inputs)
        and all(spec.required and spec.type in _TYPES for spec in contract.inputs)
        and plain_names(spec.name for spec in contract.inputs)
        and not contract.signature["params"]
    )


def _struct(name: str, fields: Any, rename: dict[str, str]) -> Any:
    return msgspec.defstruct(
        name, fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False
    )
