"""A body fits the schema of a contract exactly if the contract takes it."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.contracts.choose import contract_for
from service.contracts.contract import Contract, Layout
from service.core.errors import ContractViolationError, MalformedBodyError
from tests.support.described_bodies import Validators, why_not
from tests.support.envelopes import decoded

TEXTS = st.text(max_size=6)
MOMENTS = st.sampled_from(["2024-01-01T00:00:00Z", "1999-12-31T23:59:59.5+01:00"])
BASE64 = st.text("AB=+/", max_size=8) | st.sampled_from(["", "AAAA", "AAA=", "AA=="])
FRACTIONS = st.floats(-1e39, 1e39).filter(lambda number: not number.is_integer())
INTEGERS = st.integers(-(2**31) - 2, 2**31 + 1) | st.sampled_from([-(2**63) - 1, 2**63, 2**53])
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": FRACTIONS.filter(lambda number: abs(number) < 3e38),
    "double": FRACTIONS | st.integers(-9, 9),
    "string": TEXTS,
    "binary": st.sampled_from(["", "AAAA", "AAA="]),
    "datetime": MOMENTS,
}
JUNK = st.recursive(
    st.none() | st.booleans() | INTEGERS | FRACTIONS | TEXTS | BASE64 | MOMENTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def column(kind: Any, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an input as a signature has it."""
    spec = {"type": kind} if isinstance(kind, str) else dict(kind)
    return {**spec, **({} if name is None else {"name": name}), **more}


def tensor(dtype: str, *shape: int, **more: Any) -> dict[str, Any]:
    """Return a tensor as a signature has it."""
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}, **more}


ARRAY = {"type": "array", "items": {"type": "long"}}
OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "double"}, "b": {"type": "string", "required": False}},
}
MAP = {"type": "map", "values": {"type": "boolean"}}
PARAMS = [
    {"name": "p", "type": "double", "default": 0.5, "shape": None},
    {"name": "q", "type": "string", "default": ["x"], "shape": [-1]},
]
SIGNATURES: dict[str, dict[str, Any]] = {
    "required": {"inputs": [column(kind, kind, required=True) for kind in SCALARS]},
    "optional": {"inputs": [column(kind, kind, required=False) for kind in SCALARS]},
    "nested": {"inputs": [column(ARRAY, "l"), column(OBJECT, "o"), column(MAP, "m")]},
    "any": {"inputs": [column("any", "x", required=False), column("double", "y")]},
    "positional": {"inputs": [column("double"), column("string")]},
    "tensor": {"inputs": [tensor("float32", 2)]},
    "tensors": {"inputs": [tensor("int8", name="a"), tensor("bool", 1, name="b")]},
    "params": {"inputs": [column("double", "x")], "params": PARAMS},
    'a "quoted" name': {"inputs": [column("double", '"'), column("long", "\\", required=False)]},
}
_WRONG_IN = 24
"""One value in so many may be wrong."""
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **SCALARS,
    "array": st.lists(st.integers(-9, 9), max_size=2),
    "object": st.fixed_dictionaries({"a": FRACTIONS}, optional={"b": TEXTS | st.none()}),
    "map": st.dictionaries(TEXTS, st.booleans(), max_size=2),
    "any": JUNK,
}
ELEMENTS = {"float32": SCALARS["float"], "int8": st.integers(-128, 127), "bool": st.booleans()}


def value_of(spec: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that are right for an input, and some that may be none."""
    if spec["type"] == "tensor":
        right = ELEMENTS[spec["tensor-spec"]["dtype"]]
        for size in reversed(spec["tensor-spec"]["shape"][1:]):
            right = st.lists(right, min_size=size, max_size=size)
    else:
        right = VALUES[spec["type"]]
    return st.integers(0, _WRONG_IN).flatmap(lambda at: right if at else JUNK)


@st.composite
def bodies(draw: st.DrawFn, contract: Contract) -> Any:
    """Return bodies of rows and of columns, of which many are almost right."""
    inputs = contract.signature["inputs"]
    count = draw(st.integers(0 if draw(st.integers(0, 9)) == 0 else 1, 2))
    rows = [[draw(value_of(spec)) for spec in inputs] for _ in range(count)]
    body: dict[str, Any]
    form = draw(st.sampled_from(["instances", "instances", "columns", "neither", "junk"]))
    named = contract.layout in {Layout.COLUMNS, Layout.TENSORS}
    names = [spec.name for spec in contract.inputs]
    if form == "junk":
        return draw(JUNK)
    if form == "columns":
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
        _drop_or_add(draw, columns, [draw(JUNK)])
        body = {"columns": columns}
    elif form == "instances":
        made: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
        for row in made:
            _drop_or_add(draw, row, draw(JUNK))
        if contract.layout is Layout.POSITIONAL:
            made = [row + draw(st.lists(JUNK, max_size=1)) for row in rows]
        elif not named:
            made = [row[0] for row in rows]
        body = {"instances": made}
    else:
        body = {}
    if draw(st.integers(0, 2)) == 0:
        names_of_params = st.sampled_from(["p", "q", "r"])
        body["params"] = draw(
            st.none() | st.dictionaries(names_of_params, FRACTIONS | st.lists(TEXTS), max_size=2)
        )
    if draw(st.integers(0, 5)) == 0:
        body[draw(st.sampled_from(["more", "columns", "instances"]))] = draw(JUNK)
    return body


def _drop_or_add(draw: st.DrawFn, fields: dict[str, Any], value: Any) -> None:
    change = draw(st.integers(0, 7))
    if change == 0 and fields:
        del fields[draw(st.sampled_from(sorted(fields)))]
    elif change == 1:
        fields["more"] = value


def has_large_integer(value: Any) -> bool:
    """Tell whether some integer has more than 64 bits."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(has_large_integer, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def is_taken(contract: Contract, body: bytes) -> bool:
    """Tell whether the contract takes a body."""
    try:
        decoded(contract, body)
    except (ContractViolationError, MalformedBodyError):
        return False
    return True


@pytest.mark.parametrize("refuse_unknown", [False, True])
@pytest.mark.parametrize("name", SIGNATURES)
def test_the_schema_takes_what_the_contract_takes(name: str, *, refuse_unknown: bool) -> None:
    """Types, bounds, nulls, names that are missing or unknown, params, both forms."""
    contract = contract_for("m", SIGNATURES[name], refuse_unknown=refuse_unknown)
    validator = Validators(contract).request
    seen: set[bool] = set()

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(body=bodies(contract))
    def check(body: Any) -> None:
        # No schema says of a value of any type how large the integers within it are.
        assume(name != "any" or not has_large_integer(body))
        taken = is_taken(contract, json.dumps(body).encode())
        assert validator.is_valid(body) == taken, why_not(validator, body)
        seen.add(taken)

    check()
    assert seen == {True, False}
