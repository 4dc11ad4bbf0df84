"""Whatever callers send today is taken by every contract that is called compatible."""

import json
import os
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.contracts.choose import contract_for
from service.contracts.compatibility import differences
from service.contracts.contract import Contract
from tests.support.envelopes import decoded

Spec = dict[str, Any]
EXAMPLES = 2_000 if os.environ.get("HOTSWAP_LONG_FAULTS") else 150

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "double": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63),
    "string": st.text(max_size=5),
    "binary": st.sampled_from(["", "YQ=="]),
    "datetime": st.sampled_from(["2024-01-01", "1999-12-31T23:59:59.5Z"]),
}
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    **{f"int{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 32, 64)},
    **{f"uint{bits}": st.integers(0, 2**bits - 1) for bits in (8, 32, 64)},
    "float32": VALUES["float"],
    "float64": VALUES["double"],
    "str": VALUES["string"],
}

scalars = st.sampled_from([*VALUES]).map(lambda kind: {"type": kind})
types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda values: {"type": "map", "values": values}),
        st.dictionaries(
            st.sampled_from("xyz"), st.tuples(inner, st.booleans()), min_size=1, max_size=3
        ).map(
            lambda props: {
                "type": "object",
                "properties": {n: {**t, "required": r} for n, (t, r) in props.items()},
            }
        ),
    ),
    max_leaves=3,
)


@st.composite
def columns(draw: st.DrawFn) -> list[Spec]:
    """Draw named columns."""
    names = draw(
        st.lists(
            st.sampled_from(
                ["a", "b", "c", 'd"'],
            ),
            unique=True,
            min_size=1,
        )
    )
    return [{**draw(types), "name": name, "required": draw(st.booleans())} for name in names]


@st.composite
def changed(draw: st.DrawFn, specs: list[Spec]) -> list[Spec]:
    """Change one thing or some: most changes are small, and many of those compatible."""
    new = [dict(spec) for spec in specs]
    for spec in new:
        match draw(st.integers(0, 5)):
            case 0:
                spec["required"] = draw(st.booleans())
            case 1:
                spec.update(draw(types))
            case 2 if spec["type"] in {"integer", "long", "float"}:
                spec["type"] = draw(st.sampled_from(["long", "float", "double"]))
    if len(new) > 1 and draw(st.booleans()):
        new.pop(draw(st.integers(0, len(new) - 1)))
    if draw(st.booleans()):
        new.append({**draw(types), "name": "new", "required": draw(st.booleans())})
    return draw(st.permutations(new))


def contract(inputs: list[Spec], *, refuse_unknown: bool = False) -> Contract:
    """Return the contract of any model with these inputs."""
    signature = {"inputs": inputs, "outputs": None, "params": None}
    return contract_for("any-model", signature, refuse_unknown=refuse_unknown)


def value(draw: st.DrawFn, spec: Spec) -> Any:
    """Draw a value that the type takes."""
    match spec["type"]:
        case "array":
            return [value(draw, spec["items"]) for _ in range(draw(st.integers(0, 2)))]
        case "map":
            names = draw(st.lists(st.sampled_from("kl"), unique=True))
            return {name: value(draw, spec["values"]) for name in names}
        case "object":
            return fields(draw, spec["properties"])
        case kind:
            return draw(VALUES[kind])


def fields(draw: st.DrawFn, specs: dict[str, Spec]) -> dict[str, Any]:
    """Draw an object: what is optional may be absent, or null."""
    drawn = {}
    for name, spec in specs.items():
        how = "given" if spec["required"] else draw(st.sampled_from(["given", "null", "absent"]))
        if how != "absent":
            drawn[name] = value(draw, spec) if how == "given" else None
    return drawn


@settings(max_examples=EXAMPLES)
@given(data=st.data(), refuse_unknown=st.booleans())
def test_a_compatible_contract_takes_what_the_incumbent_took(
    data: st.DataObject, *, refuse_unknown: bool
) -> None:
    """Named columns of every type."""
    inputs = data.draw(columns())
    old = contract(inputs, refuse_unknown=refuse_unknown)
    new = contract(data.draw(changed(inputs)), refuse_unknown=refuse_unknown)
    assume(not differences(old, new, refuse_unknown=refuse_unknown))
    body = data.draw(bodies({spec["name"]: spec for spec in inputs}))
    assert decoded(old, body).rows == decoded(new, body).rows


@st.composite
def bodies(draw: st.DrawFn, specs: dict[str, Spec]) -> bytes:
    """Draw a request that a contract with these columns takes."""
    rows = [fields(draw, specs) for _ in range(draw(st.integers(1, 3)))]
    return json.dumps({"instances": rows}).encode()


def tensor(dtype: str) -> Contract:
    """Return the contract of a model that takes one value of this dtype a row."""
    return contract([{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1]}}])


PAIRS = [
    (old, new) for old in ELEMENTS for new in ELEMENTS if not differences(tensor(old), tensor(new))
]


def test_tensors_of_some_dtypes_take_each_others_place() -> None:
    """So that the next test says something."""
    assert len(PAIRS) > 2 * len(ELEMENTS)


@given(data=st.data(), pair=st.sampled_from(PAIRS))
def test_a_compatible_tensor_takes_what_the_incumbent_took(
    data: st.DataObject, pair: tuple[str, str]
) -> None:
    """Element by element."""
    old, new = pair
    values = data.draw(st.lists(ELEMENTS[old], min_size=1, max_size=3))
    body = json.dumps({"instances": values}).encode()
    assert decoded(tensor(old), body).rows == decoded(tensor(new), body).rows
