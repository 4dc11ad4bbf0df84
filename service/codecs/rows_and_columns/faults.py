"""What is wrong with a body of rows or columns, where its types do not fit."""

import re
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import UNSET

from service.codecs.codec import Form
from service.codecs.rows_and_columns.other_forms import (
    MLFLOW_FORMS,
    form_violation,
    violation_of_form,
)
from service.contracts.faults import (
    Fault,
    behind_name,
    decode,
    first_index,
    violation,
    violation_in,
)
from service.core.errors import ContractViolationError

_INSTANCES = ".instances"
_COLUMNS = ".columns"
_A_ROW = re.compile(r"\.instances\[\d+\]")
_ANY_OBJECT = msgspec.json.Decoder(dict[str, Any])
_ROWS = Form.ROWS
"""Looked up once: it is asked for with each request."""


def explain(fault: Fault, document: Any) -> ContractViolationError:
    """Return the error for a fault in a body, which `document` is."""
    place = fault.place
    if fault.unknown in MLFLOW_FORMS and place == f".{fault.unknown}":
        return form_violation(fault.unknown)
    if fault.expected == "an object" and isinstance(fault.value, list) and _A_ROW.fullmatch(place):
        # MLflow's own server takes a list of lists there.
        fault = fault._replace(expected="an object of the inputs by their names")
    return violation_in(fault, "", _row(place, document))


def form_of(body: Any, raw: bytes) -> Form:
    """Tell which of `instances` and `columns` a body has, which was `raw`.

    Raise ContractViolationError where it has neither, or both.
    """
    if body.columns is UNSET:
        if body.instances is UNSET:
            raise violation_of_form(raw)
        return _ROWS
    if body.instances is not UNSET:
        raise ContractViolationError("columns", None, "either instances or columns", "both")
    return Form.COLUMNS


def refuse_unknown(raw: bytes, names: Collection[str], form: Form) -> None:
    """Raise ContractViolationError for a field that is no input, where a decoder can't tell."""
    document = decode(_ANY_OBJECT, raw)
    if form is Form.COLUMNS:
        _refuse_others(document["columns"], names, "columns", None)
        return
    for row, fields in enumerate(document["instances"]):
        _refuse_others(fields, names, f"instances[{row}]", row)


def _refuse_others(
    fields: dict[str, Any], names: Collection[str], place: str, row: int | None
) -> None:
    for name, value in fields.items():
        if name not in names:
            raise violation(f"{place}.{name}", "no field of this name", value, row)


def _row(place: str, document: Any) -> int | None:
    """Return the row that a place in a body belongs to, None where it belongs to none."""
    if place.startswith(_INSTANCES):
        return first_index(place[len(_INSTANCES) :])
    if place.startswith(f"{_COLUMNS}."):
        columns = document["columns"] if isinstance(document, dict) else {}
        return first_index(behind_name(columns, place[len(_COLUMNS) :])[1])
    return None
