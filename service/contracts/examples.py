"""A version's input example, in the forms that protocols have for rows."""

from typing import Any

import msgspec

from service.contracts.contract import Contract, Layout

Rows = list[Any]


def example_of(encoded: bytes) -> dict[str, Any]:
    """Return an example as a body of rows, and nothing where there is none.

    It comes from a worker, which runs a model's code: what is no such body is none.
    """
    try:
        found = msgspec.json.decode(encoded, type=dict[str, Any]) if encoded else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    rows = found.get("instances")
    return found if isinstance(rows, list) and rows else {}


def in_columns(contract: Contract, rows: Rows) -> dict[str, list[Any]] | None:
    """Return rows as a list for each input that one of them has, None for inputs without names."""
    if contract.layout not in {Layout.COLUMNS, Layout.TENSORS}:
        return None
    if not all(isinstance(row, dict) for row in rows):
        return None
    return {
        spec.name: [row.get(spec.name) for row in rows]
        for spec in contract.inputs
        if any(spec.name in row for row in rows)
    }
