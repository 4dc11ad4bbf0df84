"""The form that asks a version for a prediction: its fields by the contract, and an example."""

from typing import Any

import msgspec

from service.contracts.contract import Contract, InputSpec, Layout
from service.contracts.examples import example_of
from service.page.texts import name_of

MOST_FIELDS = 60
"""A version with more inputs has a text for its body alone."""
_LONGEST_EXAMPLE_BYTES = 20_000
"""A longer example is not shown: nobody edits it in a page."""
_PLAIN = frozenset(
    {"boolean", "integer", "long", "float", "double", "string", "datetime", "binary"}
)
_NUMBERS = frozenset({"integer", "long", "float", "double"})


class FieldView(msgspec.Struct, frozen=True):
    """A field: `kind` is `number`, `boolean` or `text`, `value` that of the example as a text."""

    name: str
    shown: str
    type: str
    kind: str
    required: bool
    value: str


class FormView(msgspec.Struct, frozen=True):
    """A form: `fields` are empty where the body is to be written as JSON."""

    version: str
    fields: tuple[FieldView, ...]
    body: str


def form_of(contract: Contract, version: str, example: bytes) -> FormView:
    """Return the form of a version, with its example filled in."""
    found = example_of(example) if len(example) <= _LONGEST_EXAMPLE_BYTES else {}
    rows = found.get("instances") or [_blank(contract)]
    body = {**found, "instances": rows[:3]}
    row = rows[0]
    fields: tuple[FieldView, ...] = ()
    is_plain = contract.layout is Layout.COLUMNS and isinstance(row, dict)
    if is_plain and len(contract.inputs) <= MOST_FIELDS and _all_plain(contract):
        fields = tuple(_field(spec, row.get(spec.name)) for spec in contract.inputs)
    return FormView(
        version=name_of(version),
        fields=fields,
        body=msgspec.json.format(msgspec.json.encode(body), indent=2).decode(),
    )


def _all_plain(contract: Contract) -> bool:
    return all(spec.type in _PLAIN for spec in contract.inputs)


def _field(spec: InputSpec, value: Any) -> FieldView:
    kind = "number" if spec.type in _NUMBERS else "boolean" if spec.type == "boolean" else "text"
    return FieldView(
        name=spec.name,
        shown=name_of(spec.name),
        type=spec.type,
        kind=kind,
        required=spec.required,
        value=_text(value),
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _blank(contract: Contract) -> Any:
    """Return a row without values, for a version without an example."""
    if contract.layout in {Layout.COLUMNS, Layout.TENSORS}:
        return {spec.name: None for spec in contract.inputs[:MOST_FIELDS]}
    return [None for _ in contract.inputs[:MOST_FIELDS]]
