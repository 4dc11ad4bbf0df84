"""Names of every kind, wherever they stand."""

import json
from typing import Any

import pytest

from service.contracts.choose import contract_for
from service.contracts.contract import Contract
from service.core.errors import ContractViolationError
from tests.support.envelopes import decoded

# Built at run time: a text that some other test has encoded is known to msgspec by then.
NAMES = [
    "plain",
    "with blanks and (brackets)",
    "gr" + "öße",
    "年" + "齢",
    "\U0001f600",
    'zoll "',
    "back\\slash",
    "line\nbreak",
    'all of "it" \\ ' + "é\t",
    "",
    "f0",
]


def fresh(name: str) -> str:
    """Return the same text as another object, of which nothing is known yet."""
    return bytes(name, "utf-8").decode()


def contract(inputs: list[dict[str, Any]], *, refuse_unknown: bool = False) -> Contract:
    """Return the contract of these inputs."""
    return contract_for("m", {"inputs": inputs}, refuse_unknown=refuse_unknown)


def decode(subject: Contract, body: dict[str, Any], *, escaped: bool) -> list[Any]:
    """Decode a body that has its names as they are, or in escapes."""
    return decoded(subject, json.dumps(body, ensure_ascii=escaped).encode()).columns


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("refuse_unknown", [False, True])
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("beside", ["other", 'a "quoted" one', "ß"])
@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_read_whatever_its_name(
    name: str, beside: str, *, required: bool, refuse_unknown: bool, escaped: bool
) -> None:
    """From rows and from columns."""
    inputs = [
        {"type": "string", "name": fresh(name), "required": required},
        {"type": "string", "name": fresh(beside), "required": True},
    ]
    subject = contract(inputs, refuse_unknown=refuse_unknown)
    rows = {"instances": [{name: "a", beside: "b"}]}
    columns = {"columns": {name: ["a"], beside: ["b"]}}
    assert decode(subject, rows, escaped=escaped) == [["a"], ["b"]]
    assert decode(subject, columns, escaped=escaped) == [["a"], ["b"]]
    if required:
        for body, path in (
            ({"instances": [{beside: "b"}]}, f"instances[0].{name}"),
            ({"columns": {beside: ["b"]}}, f"columns.{name}"),
        ):
            with pytest.raises(ContractViolationError) as raised:
                decode(subject, body, escaped=escaped)
            assert raised.value.path == path


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_nested_field_is_read_whatever_its_name(
    name: str, *, required: bool, escaped: bool
) -> None:
    """However deep it lies, in rows, columns and parameters."""
    inner = {
        "type": "object",
        "properties": {
            fresh(name): {"type": "long", "required": required},
            "other": {"type": "long", "required": True},
        },
    }
    items = {"type": "array", "items": inner, "name": "o", "required": True}
    subject = contract([items])
    value = [{name: 1, "other": 2}]
    assert decode(subject, {"instances": [{"o": value}]}, escaped=escaped) == [[value]]
    assert decode(subject, {"columns": {"o": [value]}}, escaped=escaped) == [[value]]
    if required:
        with pytest.raises(ContractViolationError) as raised:
            decode(subject, {"instances": [{"o": [{"other": 2}]}]}, escaped=escaped)
        assert raised.value.path == f"instances[0].o[0].{name}"
    params = [{"name": "p", "type": "object", "default": None, "shape": None, **inner}]
    with_params = contract_for("m", {"inputs": [items], "params": params}, refuse_unknown=False)
    body = json.dumps({"instances": [{"o": value}], "params": {"p": value[0]}})
    assert decoded(with_params, body.encode()).params == {"p": value[0]}
