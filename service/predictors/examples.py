"""Rows for a model: those of the input example that was logged with it, or one that is made up."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from service.codecs.rows_and_columns.codec import RowsAndColumns
from service.contracts.contract import Call, Contract, Layout
from service.contracts.signature import fixed_rows
from service.core.errors import ContractViolationError, MalformedBodyError
from service.predictors._example_json import NoExampleError, read_example

EXAMPLE_ROWS = 16
_SHOWN_ROWS = 2
SHOWN_BYTES = 16_384
"""A longer example is tried, and shown to nobody."""
_STRINGS = ("a", "2024-01-01")
_DAYS = 31
_MADE_UP: dict[str, Any] = {
    **dict.fromkeys(("boolean", "bool"), True),
    **dict.fromkeys(("integer", "long", "int", "uint"), 7),
    **dict.fromkeys(("float", "double"), 0.25),
    **dict.fromkeys(("binary", "bytes"), "AAAA"),
    **dict.fromkeys(("datetime",), "2024-01-01T00:00:00Z"),
    "sparkml_vector": [0.25],
}


class Example(NamedTuple):
    """A model's own input example, or why there is none that can be used.

    `shown` is its first rows as a body in JSON, for people; empty where it is too long for them.
    """

    call: Call | None
    reason: str
    shown: bytes = b""


def example_call(contract: Contract, model_dir: Path) -> Example:
    """Return up to EXAMPLE_ROWS rows of the example that was logged with the model."""
    try:
        body = read_example(contract, model_dir)
        body["instances"] = body["instances"][:EXAMPLE_ROWS]
        call, _ = RowsAndColumns(contract).decode(json.dumps(body).encode())
    except NoExampleError as error:
        return Example(None, str(error))
    except (ContractViolationError, MalformedBodyError) as error:
        return Example(None, f"the input example breaks the model's own signature: {error}")
    return Example(call, f"{call.rows} rows of the input example", _shown(contract, body))


def _shown(contract: Contract, body: dict[str, Any]) -> bytes:
    rows = fixed_rows(contract.signature["inputs"]) or _SHOWN_ROWS
    try:
        shown = json.dumps({**body, "instances": body["instances"][:rows]}, allow_nan=False)
    except ValueError:  # a number that JSON has no word for
        return b""
    encoded = shown.encode()
    return encoded if len(encoded) <= SHOWN_BYTES else b""


def made_up_call(contract: Contract) -> Call | None:
    """Return one row made of the signature alone, where the contract takes it."""
    codec = RowsAndColumns(contract)
    for string in _STRINGS:
        values = _made_up_values(contract.signature["inputs"], string)
        instance = (
            dict(zip((spec.name for spec in contract.inputs), values, strict=True))
            if contract.layout in {Layout.COLUMNS, Layout.TENSORS}
            else values[0]
            if contract.layout is Layout.TENSOR
            else values
        )
        try:
            return codec.decode(json.dumps({"instances": [instance]}).encode())[0]
        except (ContractViolationError, MalformedBodyError):
            continue
    return None


def _made_up_values(raw_inputs: Sequence[dict[str, Any]], string: str) -> list[Any]:
    """Return a value for each input of a signature, with `string` wherever text is wanted."""
    values = [_made_up(spec, string) for spec in raw_inputs]
    # One later than the other, as a start and an end are.
    days = (index for index, spec in enumerate(raw_inputs) if spec["type"] == "datetime")
    for day, index in enumerate(days, start=1):
        values[index] = f"2024-01-{min(day, _DAYS):02d}T00:00:00Z"
    return values


def _made_up(spec: dict[str, Any], string: str) -> Any:
    kind = spec["type"]
    match kind:
        case "array":
            return [_made_up(spec["items"], string)]
        case "map":
            return {"key": _made_up(spec["values"], string)}
        case "object":
            items = spec["properties"].items()
            return {name: _made_up(prop, string) for name, prop in items}
        case "tensor":
            return _made_up_tensor(spec["tensor-spec"], string)
    return _MADE_UP.get(kind, string)


def _made_up_tensor(spec: dict[str, Any], string: str) -> Any:
    kind = spec["dtype"].partition("[")[0].rstrip("0123456789")
    value: Any = _MADE_UP.get(kind, string)
    for size in reversed(spec["shape"][1:]):
        value = [value] * (2 if size < 0 else size)
    return value
