"""Optional inputs: which of them a request has, and in which of its rows."""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import UNSET

from service.contracts.contract import Call, Column, Filled, InputSpec, Values
from service.contracts.merge import merge

_INTEGERS_AND_TRUTHS = frozenset({"integer", "long", "boolean"})


def filling(spec: InputSpec, values: Values) -> tuple[Filled, Values]:
    """Return how a column is filled, and its values with None for those that were not sent.

    `values` has UNSET for a row that lacks it; an empty column is one that nobody sent.
    """
    if not len(values):
        return Filled.ABSENT, ()
    if isinstance(values, np.ndarray):
        return Filled.FULLY, values
    unsent = values.count(UNSET)
    if unsent == len(values):
        return Filled.ABSENT, ()
    if unsent:
        values = [None if value is UNSET else value for value in values]
    return _how(spec, values.count(None), len(values)), values


def _how(spec: InputSpec, missing: int, rows: int) -> Filled:
    """Say what missing values do to a column: a buffer has a value for them, and objects stay."""
    if spec.type in _INTEGERS_AND_TRUTHS and not spec.dtype:
        return Filled.PARTLY if missing else Filled.FULLY
    if spec.type == "string" and missing == rows:
        return Filled.WITH_NULLS
    return Filled.FULLY


def pack(filled: Sequence[Filled]) -> bytes:
    """Return what a Call has of it."""
    return bytes(filled) if any(filled) else b""


def missing(spec: InputSpec, rows: int) -> Column:
    """Return a column of which each value is missing."""
    if not spec.dtype:
        return [None] * rows
    dtype = np.dtype(spec.dtype)
    return np.full(rows, np.datetime64("NaT") if dtype.kind == "M" else np.nan, dtype).tobytes()


def with_all_columns(inputs: Sequence[InputSpec], call: Call) -> Call:
    """Return a call in which nothing is absent, but missing."""
    if not call.lacks_columns:
        return call
    columns = [
        column if column or spec.required else missing(spec, call.rows)
        for spec, column in zip(inputs, call.columns, strict=True)
    ]
    return msgspec.structs.replace(call, columns=columns, filled=b"")


def without_missing(inputs: Sequence[InputSpec], call: Call) -> Call:
    """Return a call of one row in which what is missing is absent."""
    absent = {
        index
        for index, (spec, column) in enumerate(zip(inputs, call.columns, strict=True))
        if not spec.required and (column == [None] or column == missing(spec, 1) or not column)
    }
    if not absent:
        return call
    columns: list[Column] = [
        column if index not in absent else b"" if spec.dtype else []
        for index, (spec, column) in enumerate(zip(inputs, call.columns, strict=True))
    ]
    filled = [
        Filled.ABSENT if index in absent else Filled.FULLY
        for index, spec in enumerate(inputs)
        if not spec.required
    ]
    return msgspec.structs.replace(call, columns=columns, filled=pack(filled))


def merge_chunks(inputs: Sequence[InputSpec], calls: Sequence[Call]) -> Call:
    """Return one Call of the chunks of one request.

    What one chunk lacks and another has is missing there.
    """
    if len({call.filled for call in calls}) == 1:
        return merge(calls)
    optional = [index for index, spec in enumerate(inputs) if not spec.required]
    lacking = {i for i in optional if not any(call.columns[i] for call in calls)}
    whole = [
        msgspec.structs.replace(
            call,
            columns=[
                column if column or spec.required or i in lacking else missing(spec, call.rows)
                for i, (spec, column) in enumerate(zip(inputs, call.columns, strict=True))
            ],
        )
        for call in calls
    ]
    states = zip(*(call.filled or bytes(len(optional)) for call in calls), strict=True)
    filled = [_joint(inputs[i], set(seen)) for i, seen in zip(optional, states, strict=True)]
    return msgspec.structs.replace(merge(whole), filled=pack(filled))


def _joint(spec: InputSpec, seen: set[int]) -> Filled:
    if len(seen) == 1:
        return Filled(seen.pop())
    if seen == {Filled.WITH_NULLS, Filled.ABSENT}:
        return Filled.WITH_NULLS
    return _how(spec, missing=1, rows=2)
