"""The types by which a body is read, and how what they hold becomes a sequence for each input."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from service.contracts.contract import Contract, Layout
from service.contracts.faults import violation
from service.contracts.keys import object_type, plain_names
from service.contracts.mlflow_types import dec_hook
from service.core.errors import ContractViolationError

Columns = list[Sequence[Any]]
"""The values of each input, in the contract's order; none of one that was not sent."""


class Body(NamedTuple):
    """A decoder of the bodies of one contract, and what reads either form of them."""

    decoder: "msgspec.json.Decoder[Any]"
    split: Callable[[list[Any]], Columns]
    """Turns what `instances` has into columns."""
    gather: Callable[[Any], Columns]
    """Returns what `columns` has. Raise ContractViolationError where inputs have no names."""
    names_to_check: frozenset[str]
    """The inputs' names, where others are refused and the decoder can't do that; else none."""


def body_of(contract: Contract) -> Body:
    """Return what reads the bodies of a contract."""
    plain = plain_names(spec.name for spec in contract.inputs)
    row, split = _row_type(contract, plain=plain)
    columns, gather = _columns_type(contract, plain=plain)
    fields: list[Any] = [
        ("instances", _filled_list(row) | UnsetType, UNSET),
        ("columns", columns | UnsetType, UNSET),
    ]
    if contract.signature["params"]:
        fields.append(("params", dict[str, msgspec.Raw] | None, None))
    body = msgspec.defstruct(
        "Body", fields, forbid_unknown_fields=contract.refuse_unknown, gc=False
    )
    to_check = contract.refuse_unknown and not plain
    return Body(
        msgspec.json.Decoder(body, dec_hook=dec_hook),
        split,
        gather,
        frozenset(spec.name for spec in contract.inputs) if to_check else frozenset(),
    )


def rows_in(names: Sequence[str], columns: Columns) -> int:
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


def _row_type(contract: Contract, *, plain: bool) -> tuple[Any, Callable[[list[Any]], Columns]]:
    """Return the type of one instance, and how a list of them becomes columns."""
    if contract.layout is Layout.TENSOR:
        return contract.value_types[0], lambda rows: [rows]
    positional = contract.layout is Layout.POSITIONAL
    if not (positional or plain):
        names = [spec.name for spec in contract.inputs]
        row = _object_type("Row", contract, contract.value_types)
        return row, lambda rows: [[row.get(name, UNSET) for row in rows] for name in names]
    struct = _struct_type(
        "Row",
        contract,
        contract.value_types,
        forbid_unknown_fields=contract.refuse_unknown,
        array_like=positional,
        kw_only=not positional,  # optional columns may come first
    )
    return struct, lambda rows: list(zip(*map(astuple, rows), strict=True))


def _columns_type(contract: Contract, *, plain: bool) -> tuple[Any, Callable[[Any], Columns]]:
    """Return the type of `columns`, and how it becomes columns.

    Unknown columns can't be refused by that type where a name has a quote or backslash.
    """
    if contract.layout not in {Layout.COLUMNS, Layout.TENSORS}:
        return msgspec.Raw, _refuse_columns
    lists = [_filled_list(kind) for kind in contract.value_types]
    if not plain:
        names = [spec.name for spec in contract.inputs]
        columns = _object_type("Columns", contract, lists)
        return columns, lambda given: [given.get(name, ()) for name in names]
    struct = _struct_type(
        "Columns",
        contract,
        lists,
        forbid_unknown_fields=contract.refuse_unknown,
        kw_only=True,
    )
    return struct, lambda given: [() if values is UNSET else values for values in astuple(given)]


def _filled_list(kind: Any) -> Any:
    return Annotated[list[kind], Meta(min_length=1)]


def _struct_type(name: str, contract: Contract, kinds: Iterable[Any], **options: Any) -> Any:
    """Return a Struct with a field for each input; msgspec wants identifiers for their names."""
    specs = contract.inputs
    identifiers = [f"f{index}" for index in range(len(specs))]
    fields: list[Any] = [
        (identifier, kind) if spec.required else (identifier, kind | UnsetType, UNSET)
        for identifier, kind, spec in zip(identifiers, kinds, specs, strict=True)
    ]
    rename = dict(zip(identifiers, (spec.name for spec in specs), strict=True))
    return msgspec.defstruct(name, fields, rename=rename, gc=False, **options)


def _object_type(name: str, contract: Contract, kinds: Iterable[Any]) -> Any:
    """Return the type of a dict: msgspec's structs take no name with a quote or backslash."""
    pairs = list(zip(contract.inputs, kinds, strict=True))
    return object_type(
        name,
        {spec.name: kind for spec, kind in pairs if spec.required},
        {spec.name: kind for spec, kind in pairs if not spec.required},
    )


def _refuse_columns(_: Any) -> Columns:
    expected = "instances, since this model's inputs have no names"
    raise ContractViolationError("columns", None, expected, "columns")
