"""The paths of values in the two forms that bodies have, by rows and by columns."""

from service.contracts.contract import Contract, InputSpec, Layout
from service.contracts.places import Place, Places


def in_rows(contract: Contract) -> Places:
    """Return the paths in a list of instances, each of which has a value for each input."""
    return Places(
        values=tuple(_in_row(contract.layout, *pair) for pair in enumerate(contract.inputs)),
        columns=("instances",) * len(contract.inputs),
        rows="instances",
        row=lambda row: f"instances[{row}]",
    )


def in_columns(contract: Contract) -> Places:
    """Return the paths in columns by name, each of which has a value for each row."""
    return Places(
        values=tuple(place_in_columns(spec.name) for spec in contract.inputs),
        columns=tuple(f"columns.{spec.name}" for spec in contract.inputs),
        rows="columns",
    )


def place_in_columns(name: str) -> Place:
    """Return what tells where a row's value stands."""
    return lambda row: f"columns.{name}[{row}]"


def _in_row(layout: Layout, index: int, spec: InputSpec) -> Place:
    match layout:
        case Layout.TENSOR:
            return lambda row: f"instances[{row}]"
        case Layout.POSITIONAL:
            return lambda row: f"instances[{row}][{index}]"
        case _:
            return lambda row: f"instances[{row}].{spec.name}"
