"""Whatever a caller sends, a contract answers with a Call or with one of two errors."""

import json
import os
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.codecs.json.encoding import encode_rows
from service.contracts.choose import contract_for
from service.contracts.contract import Call, Contract, Predictions
from service.contracts.filling import merge_chunks, with_all_columns
from service.contracts.merge import take
from service.core.errors import ContractViolationError, MalformedBodyError, ServiceError
from tests.support.envelopes import decoded

EXAMPLES = 1_000 if os.environ.get("HOTSWAP_LONG_FAULTS") else 60
"""Of each contract, of which there are several."""
SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
NESTED: list[dict[str, Any]] = [
    {"type": "array", "items": {"type": "long"}, "name": "array", "required": False},
    {
        "type": "object",
        "properties": {"datetime": {"type": "datetime", "required": False}},
        "name": "object",
        "required": False,
    },
    {"type": "map", "values": {"type": "float"}, "name": "map", "required": False},
    {"type": "any", "name": "any", "required": False},
]
PARAMS = [
    {"name": "long", "type": "long", "default": 1, "shape": None},
    {"name": "array", "type": "datetime", "default": [], "shape": [-1]},
]


def _contract(inputs: list[dict[str, Any]], *, params: bool = True) -> Contract:
    signature = {"inputs": inputs, "outputs": None, "params": PARAMS if params else None}
    return contract_for("some-model", signature, refuse_unknown=False)


def _tensor(dtype: str, shape: list[int], **more: str) -> dict[str, Any]:
    return {**more, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


OPTIONAL = _contract([{"type": kind, "name": kind, "required": False} for kind in SCALARS] + NESTED)
REQUIRED = _contract([{"type": kind, "name": kind, "required": True} for kind in SCALARS])
CONTRACTS = [
    OPTIONAL,
    REQUIRED,
    _contract([{"type": "long", "name": 'a "quoted" name', "required": True}]),
    _contract([{"type": kind, "required": True} for kind in SCALARS]),
    _contract([_tensor("float32", [-1, 2])], params=False),
    _contract([_tensor("object", [-1])], params=False),
    _contract([_tensor("uint64", [-1], name="long"), _tensor("str", [-1, -1], name="any")]),
]
NAMES = [*SCALARS, "array", "object", "map", "any", "instances", "params", 'a "quoted" name']

numbers = st.one_of(
    st.integers(),
    st.integers(-(2**66), 2**66),
    st.sampled_from([2**31, -(2**31) - 1, 2**63, 2**64, 10**400, 1e39, 1e308, -0.0]),
    st.floats(allow_nan=False, allow_infinity=False),
)
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["YQ==", "2024-01-01", "2024-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]),
    st.datetimes().map(lambda moment: moment.isoformat()),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=6),
    ),
    max_leaves=12,
)
rows = st.dictionaries(st.sampled_from(NAMES), values, max_size=6) | values
bodies = st.fixed_dictionaries(
    {"instances": st.lists(rows, max_size=4) | values}, optional={"params": values}
)
columns = st.dictionaries(st.sampled_from(NAMES), st.lists(values, max_size=3), max_size=6)
column_bodies = st.fixed_dictionaries(
    {"columns": columns | values}, optional={"params": values, "instances": values}
)


def _answer(subject: Contract, body: bytes) -> Call | None:
    refusal: ServiceError
    try:
        return decoded(subject, body)
    except (ContractViolationError, MalformedBodyError) as error:
        refusal = error
    assert str(refusal)
    assert json.dumps(refusal.extras())
    return None


@pytest.mark.parametrize("subject", CONTRACTS)
@given(body=st.binary(max_size=200))
@example(body=b'{"instances":[{"long":1e400}]}')
@example(body=b'{"instances":[{"any":' + b"1" * 5000 + b"}]}")
@example(body=b'{"instances":' + b"[" * 5000)
@example(body=b'{"any":' * 900 + b"1" + b"}" * 900)
@example(body=b'{"instances":[{"any":' + b"[" * 900 + b"]" * 900 + b"}]}")
@example(body=b'{"instances":[{"double":' + b"9" * 400 + b"}]}")
def test_arbitrary_bytes_raise_nothing_else(subject: Contract, body: bytes) -> None:
    """Neither at random nor around what is known to be hard."""
    _answer(subject, body)


@pytest.mark.parametrize("subject", CONTRACTS)
@settings(max_examples=EXAMPLES)
@given(body=bodies)
def test_arbitrary_json_raises_nothing_else(subject: Contract, body: Any) -> None:
    """And what is accepted survives the way to a worker."""
    call = _answer(subject, json.dumps(body).encode())
    if call is not None:
        assert call.rows == len(body["instances"])
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call) == call


@pytest.mark.parametrize("subject", CONTRACTS)
@settings(max_examples=EXAMPLES)
@given(body=column_bodies)
def test_arbitrary_columns_raise_nothing_else(subject: Contract, body: Any) -> None:
    """Nor do columns, and what is accepted has all the rows that each has."""
    call = _answer(subject, json.dumps(body).encode())
    if call is not None:
        named = [
            body["columns"][spec.name] for spec in subject.inputs if spec.name in body["columns"]
        ]
        assert {len(values) for values in named} == {call.rows}
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call) == call


def _scalar(kind: str) -> st.SearchStrategy[Any]:
    strategies: dict[str, st.SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "string": st.text(max_size=5),
        "binary": st.sampled_from(["", "YQ==", "YWI="]),
        "datetime": st.sampled_from(["2024-01-01", "1999-12-31T23:59:59.5Z"]),
    }
    return strategies[kind]


good_rows = st.fixed_dictionaries({}, optional={kind: _scalar(kind) for kind in SCALARS})


@given(parts=st.lists(st.lists(good_rows, min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_merge_of_calls_is_the_call_of_all_rows(parts: list[list[dict[str, Any]]]) -> None:
    """And its slices are the parts again, whatever columns some of them lack."""
    calls = [decoded(OPTIONAL, json.dumps({"instances": part}).encode()) for part in parts]
    merged = merge_chunks(OPTIONAL.inputs, calls)
    together = [row for part in parts for row in part]
    assert merged == decoded(OPTIONAL, json.dumps({"instances": together}).encode())
    start = 0
    for call in calls:
        part = take(merged, range(start, start + call.rows))
        assert _whole(part).columns == _whole(call).columns
        start += call.rows


def _whole(call: Call) -> Call:
    return with_all_columns(OPTIONAL.inputs, call)


@given(row=st.fixed_dictionaries({kind: _scalar(kind) for kind in SCALARS}))
def test_numbers_and_strings_come_back_as_they_went(row: dict[str, Any]) -> None:
    """Through a buffer, and out as JSON."""
    call = decoded(REQUIRED, json.dumps({"instances": [row]}).encode())
    names = [spec.name for spec in REQUIRED.inputs]
    dtypes = [spec.dtype for spec in REQUIRED.inputs]
    answer = Predictions(1, names, call.columns, dtypes, [[]] * len(names), [])
    back = json.loads(encode_rows(answer, 0, 1))[0]
    moment = np.datetime64(row.pop("datetime").removesuffix("Z"))
    assert np.datetime64(back.pop("datetime").removesuffix("Z")) == moment
    assert back == row
