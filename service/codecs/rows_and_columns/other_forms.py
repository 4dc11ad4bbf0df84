"""The body forms of MLflow's own server, and what to write instead of them here."""

from codecs import BOM_UTF8

import msgspec

from service.core.errors import ContractViolationError

MLFLOW_FORMS = {
    "dataframe_split": 'its "data" by column: {"columns": {"a": [1, 2]}}',
    "dataframe_records": 'the same list under "instances": {"instances": [{"a": 1}]}',
    "inputs": '{"instances": [{"a": 1}]} or {"columns": {"a": [1, 2]}}',
}
"""What is expected in their place, by the field that tells them."""

_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def form_violation(field: str) -> ContractViolationError:
    """Return the error for a body that has such a field."""
    return ContractViolationError(
        field, None, MLFLOW_FORMS[field], "a body of MLflow's own scoring server"
    )


def violation_of_form(body: bytes) -> ContractViolationError:
    """Return the error for a JSON body that has neither `instances` nor `columns`."""
    try:
        found = _DECODER.decode(body.removeprefix(BOM_UTF8))
    except (msgspec.DecodeError, ValueError):
        found = {}  # some other field's name is not UTF-8
    for field in MLFLOW_FORMS:
        if field in found:
            return form_violation(field)
    return ContractViolationError("instances", None, "a value", "nothing")
