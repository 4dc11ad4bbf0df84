"""A model's description in the words of the protocol."""

from typing import Any

import pytest

from service.codecs.inference.datatypes import input_tensors, output_tensors
from service.contracts.choose import contract_for


def described(part: str, specs: list[dict[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Return the tensors of a signature's part."""
    signature: dict[str, Any] = {"inputs": [{"type": "double", "name": "a"}], "outputs": None}
    contract = contract_for("any", {**signature, "params": None, part: specs}, refuse_unknown=False)
    found = (input_tensors if part == "inputs" else output_tensors)(contract)
    return [(spec.name, spec.datatype, spec.shape) for spec in found]


TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2, -1]}}


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_named_columns_are_a_tensor_each(part: str) -> None:
    """Of as many elements as there are rows; what has no datatype is BYTES."""
    kinds = {
        "boolean": "BOOL",
        "integer": "INT32",
        "long": "INT64",
        "float": "FP32",
        "double": "FP64",
        "string": "BYTES",
        "binary": "BYTES",
        "datetime": "BYTES",
    }
    specs = [{"type": kind, "name": kind} for kind in kinds]
    assert described(part, specs) == [(name, kind, [-1]) for name, kind in kinds.items()]


def test_columns_without_names_are_one_tensor() -> None:
    """Of the type that has room for all."""
    for kinds, datatype in (
        (["double", "double"], "FP64"),
        (["integer", "long"], "INT64"),
        (["long", "float"], "FP64"),
        (["long", "string"], "BYTES"),
    ):
        specs = [{"type": kind} for kind in kinds]
        assert described("inputs", specs) == [("input-0", datatype, [-1, 2])]
        assert described("outputs", specs) == [("prediction", datatype, [-1, 2])]


def test_tensors_are_as_the_signature_has_them() -> None:
    """One without a name gets one."""
    assert described("inputs", [TENSOR]) == [("input-0", "FP32", [-1, 2, -1])]
    assert described("inputs", [{**TENSOR, "name": "x"}]) == [("x", "FP32", [-1, 2, -1])]
    assert described("outputs", [TENSOR]) == [("prediction", "FP32", [-1, 2, -1])]


def test_outputs_that_nobody_described_are_none() -> None:
    """Rather than what they might be."""
    assert described("outputs", []) == []
