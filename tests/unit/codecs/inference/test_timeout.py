"""The time that a request gives itself, in microseconds, told without decoding its tensors."""

import json
from typing import Any

import pytest

from service.codecs.inference.timeout import timeout_s_in
from service.contracts.choose import contract_for
from service.core.errors import ContractViolationError

INPUTS = [{"type": "double", "name": "a", "required": True}]
MICROSECONDS = {"name": "timeout", "default": 5, "dtype": "long", "shape": None, "type": "long"}


def seconds(written: Any, params: list[dict[str, Any]] | None = None) -> float | None:
    """Return what is read in a request that has bytes in front of it and behind it."""
    signature = {"inputs": INPUTS, "outputs": None, "params": params}
    body = written if isinstance(written, bytes) else json.dumps(written).encode()
    contract = contract_for("any", signature, refuse_unknown=False)
    return timeout_s_in(b'"timeout":9' + body + b'"timeout"', 11, 11 + len(body), contract)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"timeout": 1_500_000}, 1.5),
        ({"priority": 1, "timeout": 1}, 1e-6),
        ({"timeout": 0}, None),
        ({"timeout": 10**30}, 1e9),
        ({"priority": 1}, None),
        (None, None),
    ],
)
def test_microseconds_are_a_time_limit(
    parameters: dict[str, int] | None, expected: float | None
) -> None:
    """0 is none, as Triton has it."""
    assert seconds({"parameters": parameters, "inputs": []}) == expected


@pytest.mark.parametrize("given", [-1, 1.5, "5", None, True])
def test_what_is_no_number_of_microseconds_is_refused(given: object) -> None:
    """With the parameter's name."""
    with pytest.raises(ContractViolationError) as refused:
        seconds({"parameters": {"timeout": given}})
    assert refused.value.path == "parameters.timeout"


@pytest.mark.parametrize(
    "written",
    [
        {"inputs": [{"name": "timeout", "parameters": {"timeout": 5}}]},
        b'{"parameters":{"timeout":5}',
        b'{"parameters":["timeout"]}',
        b'["timeout"]',
        b"[" * 100_000 + b'"timeout"',
        b'{"parameters":{"timeout":5}}' + b" " * 1_048_576,
    ],
)
def test_what_is_elsewhere_wrong_or_very_large_has_none(written: Any) -> None:
    """The codec says what is wrong."""
    assert seconds(written) is None


def test_a_models_own_parameter_is_no_time_limit() -> None:
    """Its unit is the model's."""
    asked = {"parameters": {"timeout": 5}}
    assert seconds(asked, [MICROSECONDS]) is None
    assert seconds(asked) == 5e-6
