"""Bodies as they are written for other servers, or by other editors."""

from codecs import BOM_UTF8
from typing import Any

import msgspec
import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import ContractViolationError, MalformedBodyError
from tests.support.envelopes import decoded

ROWS = b'{"instances": [{"a": 1.5}]}'


def contract(*, refuse: bool = False) -> Contract:
    """Derive a contract of one number."""
    inputs = [{"type": "double", "name": "a", "required": True}]
    signature = {"inputs": inputs, "outputs": None, "params": None}
    return contract_for("some-model", signature, refuse_unknown=refuse)


def refused(body: Any, *, refuse: bool = False) -> ContractViolationError:
    """Return the error with which a body is refused."""
    with pytest.raises(ContractViolationError) as caught:
        decoded(contract(refuse=refuse), msgspec.json.encode(body))
    return caught.value


@pytest.mark.parametrize("refuse", [False, True])
@pytest.mark.parametrize(
    ("field", "given", "instead"),
    [
        ("dataframe_split", {"columns": ["a"], "data": [[1.5]]}, '"columns"'),
        ("dataframe_records", [{"a": 1.5}], '"instances"'),
        ("inputs", {"a": [1.5]}, '"instances"'),
    ],
)
def test_mlflows_own_forms_lead_to_ours(
    field: str,
    given: Any,
    instead: str,
    refuse: bool,  # noqa: FBT001 - a case
) -> None:
    """Whether unknown fields are refused or not."""
    error = refused({field: given}, refuse=refuse)
    assert error.path == field
    assert instead in error.expected


def test_a_list_of_lists_is_told_to_name_its_values() -> None:
    """As MLflow takes it under the same name."""
    error = refused({"instances": [[1.5]]})
    assert (error.path, error.row) == ("instances[0]", 0)
    assert "by their names" in error.expected


def test_a_body_of_nothing_is_asked_for_instances() -> None:
    """As ever."""
    assert refused({"something": 1}).path == "instances"


def test_a_mark_in_front_of_json_is_ignored() -> None:
    """One of them, before a right body and before a wrong one."""
    assert decoded(contract(), BOM_UTF8 + ROWS) == decoded(contract(), ROWS)
    with pytest.raises(ContractViolationError) as caught:
        decoded(contract(), BOM_UTF8 + ROWS.replace(b"1.5", b"null"))
    assert caught.value.path == "instances[0].a"
    with pytest.raises(MalformedBodyError):
        decoded(contract(), BOM_UTF8 * 2)
