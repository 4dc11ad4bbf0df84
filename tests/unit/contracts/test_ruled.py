"""A Struct as the rules of a signature's rows, whatever the values are and wherever they stand."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from msgspec import Meta, Struct

from service.codecs.places import in_columns
from service.contracts.ruled import RuledContract
from service.core.errors import ContractViolationError
from tests.support.envelopes import decoded

INPUTS = {
    "start": "datetime",
    "end": "datetime",
    "count": "long",
    "note": "string",
    "raw": "binary",
    "unruled": "double",
}


class Stay(Struct):
    """What a stay has to be."""

    start: datetime
    end: datetime
    raw: Annotated[bytes, Meta(max_length=2)]
    count: Annotated[int, Meta(ge=0)] | None = None
    note: Annotated[str, Meta(max_length=3)] = ""

    def __post_init__(self) -> None:
        """Hold the fields to each other."""
        if self.end < self.start:
            raise ValueError("an end after the start")
        if self.note == "???":
            raise KeyError(self.note)


class Plain(Struct, kw_only=True):
    """A rule without a method, for a field that comes after another."""

    note: Annotated[str, Meta(max_length=3)] = ""
    unruled: Annotated[float, Meta(lt=9)]


def contract(row: type[Struct]) -> RuledContract:
    """Return the contract of these inputs, the last three of which may be missing."""
    inputs = [
        {"name": name, "type": kind, "required": name in {"start", "end", "raw"}}
        for name, kind in INPUTS.items()
    ]
    return RuledContract(row, {"inputs": inputs, "outputs": None}, refuse_unknown=False)


GOOD: dict[str, Any] = {
    "start": "2024-01-01T00:00:00.000000001Z",
    "end": "2024-01-02",
    "count": 1,
    "note": "abc",
    "raw": "AAA=",
    "unruled": 1.0,
}


def refusal(row: type[Struct], *rows: dict[str, Any]) -> tuple[str, int | None, str]:
    """Return where rows break the rules, and what is wanted there."""
    with pytest.raises(ContractViolationError) as refused:
        decoded(contract(row), msgspec.json.encode({"instances": rows}))
    return refused.value.path, refused.value.row, refused.value.expected


@pytest.mark.parametrize(
    "row", [GOOD, {**GOOD, "count": None}, {name: GOOD[name] for name in ("start", "end", "raw")}]
)
def test_rows_that_keep_the_rules_are_taken(row: dict[str, Any]) -> None:
    """Also without what may be missing, beside others that have it."""
    for rows in ([row], [GOOD, row]):
        call = decoded(contract(Stay), msgspec.json.encode({"instances": rows}))
        assert call.rows == len(rows)


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"end": "2023-01-01"}, "instances[1]", "an end after the start"),
        ({"raw": "AAAA"}, "instances[1].raw", "bytes of length <= 2"),
        ({"count": -1}, "instances[1].count", "an integer >= 0"),
        ({"note": "abcd"}, "instances[1].note", "a string of length <= 3"),
    ],
)
def test_the_row_that_breaks_one_is_told(change: dict[str, Any], path: str, expected: str) -> None:
    """By itself, and after one without what may be missing."""
    for first in (GOOD, {name: GOOD[name] for name in ("start", "end", "raw")}):
        told = refusal(Stay, first, {**GOOD, **change})
        assert told[:2] == (path, 1)
        assert expected.rsplit(maxsplit=1)[-1] in told[2]


def test_a_struct_without_a_method_has_constraints_alone() -> None:
    """However its fields are given."""
    assert refusal(Plain, GOOD, {**GOOD, "unruled": 9.5})[:2] == ("instances[1].unruled", 1)
    assert decoded(contract(Plain), msgspec.json.encode({"instances": [GOOD]})).rows == 1


def test_arrays_are_held_to_the_rules_as_their_values_in_json_are() -> None:
    """A number that is none is a null."""
    subject = contract(Stay)
    moments = np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")
    for end, path in ((moments, None), (moments[::-1], "columns")):
        columns: list[Any] = [
            moments,
            end,
            [1, None],
            ["a", "b"],
            [b"a", b"b"],
            np.array([1.0, np.nan]),
        ]
        if path is None:
            assert subject.call_of(2, columns, None, in_columns(subject)).rows == 2
            continue
        with pytest.raises(ContractViolationError) as refused:
            subject.call_of(2, columns, None, in_columns(subject))
        assert (refused.value.path, refused.value.row) == (path, 1)


def test_what_else_a_rule_raises_is_its_own() -> None:
    """It is a defect of the rule, not of the caller's."""
    with pytest.raises(KeyError):
        decoded(contract(Stay), msgspec.json.encode({"instances": [{**GOOD, "note": "???"}]}))
