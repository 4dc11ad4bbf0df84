"""The form of a version: its fields by the contract, and what stands in them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from service.contracts.contract import InputSpec, Layout
from service.page.form import MOST_FIELDS, form_of


def a_contract(*inputs: InputSpec, layout: Layout = Layout.COLUMNS) -> Any:
    """Return as much of a contract as a form asks for."""
    return SimpleNamespace(inputs=inputs, layout=layout)


def columns(number: int) -> list[InputSpec]:
    """Return so many inputs."""
    return [InputSpec(f"c{index}", "double", True, "float64") for index in range(number)]  # noqa: FBT003 - as a signature has it


def example(*rows: object) -> bytes:
    """Return an input example as a worker tells it."""
    return json.dumps({"instances": rows}).encode()


def test_each_input_has_a_field_with_the_examples_value() -> None:
    """By its type; what the example leaves out is empty."""
    contract = a_contract(
        InputSpec("a", "double", required=True, dtype="float64"),
        InputSpec("b", "boolean", required=False, dtype="bool"),
        InputSpec("c", "string", required=False, dtype="object"),
    )
    form = form_of(contract, "7", example({"a": 1.5, "b": True}))
    found = [(one.name, one.kind, one.value, one.required) for one in form.fields]
    assert found == [
        ("a", "number", "1.5", True),
        ("b", "boolean", "true", False),
        ("c", "text", "", False),
    ]
    assert json.loads(form.body)["instances"] == [{"a": 1.5, "b": True}]


@pytest.mark.parametrize("number", [MOST_FIELDS, MOST_FIELDS + 1, 10_000])
def test_a_version_with_many_inputs_has_a_text_alone(number: int) -> None:
    """It names some of them, so that neither the page nor who makes it is held up."""
    form = form_of(a_contract(*columns(number)), "7", b"")
    assert len(form.fields) == (number if number <= MOST_FIELDS else 0)
    assert list(json.loads(form.body)["instances"][0]) == [f"c{n}" for n in range(MOST_FIELDS)]
    assert len(form.body) < 2_000


def test_a_long_example_is_not_shown() -> None:
    """Nobody edits it in a page; of a shorter one there are three rows."""
    contract = a_contract(*columns(1))
    long = form_of(contract, "7", example(*[{"c0": float(n)} for n in range(2_000)]))
    assert json.loads(long.body)["instances"] == [{"c0": None}]
    short = form_of(contract, "7", example(*[{"c0": float(n)} for n in range(9)]))
    assert len(json.loads(short.body)["instances"]) == 3
