"""Read the body that has a list for each input: `{"columns": {"month": [...], ...}}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.contracts.contract import Form, InputSpec
from service.contracts.faults import Place, violation
from service.contracts.keys import object_type
from service.contracts.other_forms import violation_of_form
from service.core.errors import ContractViolationError

Columns = list[list[Any] | None]
"""The values of each input, in the contract's order; None for a column that is not there."""

Gather = Callable[[Any], Columns]
"""Turns what was decoded into Columns."""


def columns_type(
    inputs: Sequence[InputSpec], kinds: Sequence[Any], *, refuse_unknown: bool
) -> tuple[Any, Gather]:
    """Return the type of `columns` for inputs whose values have these types, and what reads it.

    Unknown columns can't be refused by that type where a name has a quote or backslash.
    """
    names = [spec.name for spec in inputs]
    lists: list[Any] = [
        Annotated[list[kind], Meta(min_length=1)]  # type: ignore[valid-type]
        for kind in kinds
    ]
    if not plain_names(inputs):
        pairs = list(zip(inputs, lists, strict=True))
        columns = object_type(
            "Columns",
            {spec.name: kind for spec, kind in pairs if spec.required},
            {spec.name: kind for spec, kind in pairs if not spec.required},
        )
        return columns, lambda given: [given.get(name) for name in names]
    identifiers = [f"f{index}" for index in range(len(names))]
    struct = msgspec.defstruct(
        "Columns",
        [
            (identifier, kind) if spec.required else (identifier, kind | UnsetType, UNSET)
            for identifier, kind, spec in zip(identifiers, lists, inputs, strict=True)
        ],
        rename=dict(zip(identifiers, names, strict=True)),
        forbid_unknown_fields=refuse_unknown,
        kw_only=True,
        gc=False,
    )
    return struct, lambda given: [
        None if values is UNSET else values for values in msgspec.structs.astuple(given)
    ]


def form_of(body: Any, raw: bytes) -> Form:
    """Tell which of `instances` and `columns` a body has, which was `raw`.

    Raise ContractViolationError where it has neither, or both.
    """
    if body.columns is UNSET:
        if body.instances is UNSET:
            raise violation_of_form(raw)
        return Form.ROWS
    if body.instances is not UNSET:
        raise ContractViolationError("columns", None, "either instances or columns", "both")
    return Form.COLUMNS


def rows_of(names: Sequence[str], columns: Columns) -> int:
    """Return how long all columns are. Raise ContractViolationError where they differ, or none is.

    The first one that is there is what the others are held against.
    """
    there = [(name, values) for name, values in zip(names, columns, strict=True) if values]
    if not there:
        raise violation("columns", "at least one of the model's columns", {})
    first, rows = there[0][0], len(there[0][1])
    for name, values in there:
        if len(values) != rows:
            raise violation(f"columns.{name}", f"an array of {rows} items, as {first} is", values)
    return rows


def place_in_columns(name: str) -> Place:
    """Return what tells where a row's value stands."""
    return lambda row: f"columns.{name}[{row}]"


def plain_names(inputs: Sequence[InputSpec]) -> bool:
    """Tell whether msgspec's structs can have fields of these names."""
    return not any(
        character in '"\\' or character < " " for spec in inputs for character in spec.name
    )
