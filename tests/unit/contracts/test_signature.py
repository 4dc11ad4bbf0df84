"""What is read off a signature, and which signatures cannot be served."""

from typing import Any

import pytest

from service.contracts.choose import contract_for
from service.core.errors import SignatureError

UNNAMED = {"type": "long", "required": True}
TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}


@pytest.mark.parametrize(
    "signature",
    [
        None,
        {},
        {"inputs": None},
        {"inputs": "[]"},
        {"inputs": "no JSON"},
        {"inputs": 3},
        {"inputs": '[{"type": "quaternion", "name": "x"}]'},
        {"inputs": '[{"name": "x"}]'},
        {"inputs": '[{"type": "array", "name": "x"}]'},
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "complex128", "shape": [-1]}}]'},
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": []}}]'},
        {"inputs": '[{"type": "long", "name": "x"}, {"type": "long", "name": "x"}]'},
        {"inputs": '[{"type": "long", "name": "x"}, {"type": "long"}]'},
    ],
)
def test_a_signature_that_cannot_be_served_is_refused(signature: dict[str, Any] | None) -> None:
    """With a sentence."""
    with pytest.raises(SignatureError, match="signature"):
        contract_for("some-model", signature, refuse_unknown=False)


def test_a_missing_signature_says_what_to_log() -> None:
    """The sentence names MLflow's function."""
    with pytest.raises(SignatureError, match="infer_signature"):
        contract_for("some-model", None, refuse_unknown=False)


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (None, []),
        ([{**UNNAMED, "name": "a"}, {"type": "string", "name": "b"}], ["a", "b"]),
        ([UNNAMED], ["prediction"]),
        ([UNNAMED, UNNAMED], ["prediction"]),
        ([TENSOR], ["prediction"]),
        ([{**TENSOR, "name": "y"}], ["y"]),
    ],
)
def test_outputs_have_the_names_of_the_signature(outputs: Any, names: list[str]) -> None:
    """Or `prediction`, or none where there is no word of outputs."""
    signature = {"inputs": [{**UNNAMED, "name": "x"}], "outputs": outputs, "params": None}
    subject = contract_for("some-model", signature, refuse_unknown=False)
    assert [spec.name for spec in subject.outputs] == names
