"""The types by which rows of answers are made and encoded: one for each set of output names."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

_FIELD_BYTES = 500
"""What a type takes for each of its fields beside the name, roughly."""
_MOST_FIELDS = 500
"""A row of more is a dict: making a type takes some ten microseconds for each field."""
_LIMIT_BYTES = 8_000_000
"""A version has one set of names, unless its model names its outputs as it likes."""

RowType = Callable[..., Any]
"""Makes a row of its values."""


class RowTypes:
    """Makes each type once: a Struct is made and encoded in a fifth of the time of a dict.

    How many are kept depends on their size: a model may give other names with each answer, and
    thousands of them.
    """

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._known: dict[tuple[str, ...], RowType] = {}
        self.kept_bytes = 0
        """What the types that are kept take, roughly."""

    def of(self, names: Sequence[str]) -> RowType:
        """Return what makes rows with these names. Several threads may call it."""
        key = tuple(names)
        known = self._known.get(key)
        if known is None:
            known = _row_type(key)
            if self.kept_bytes > self._limit_bytes:
                self._known, self.kept_bytes = {}, 0
            self._known[key] = known
            self.kept_bytes += sum(map(len, key)) + _FIELD_BYTES * len(key)
        return known


def _row_type(names: tuple[str, ...]) -> RowType:
    """Return a Struct, or what makes dicts where msgspec's structs do not take the names.

    They know no quote, no backslash, and no name twice; and one of thousands of names takes as long
    to be made as thousands of rows.
    """
    if len(names) > _MOST_FIELDS:
        return lambda *values: dict(zip(names, values, strict=True))
    identifiers = [f"f{index}" for index in range(len(names))]
    try:
        row: RowType = msgspec.defstruct(
            "Row",
            [(identifier, Any) for identifier in identifiers],
            rename=dict(zip(identifiers, names, strict=True)),
            gc=False,
        )
    except ValueError:
        return lambda *values: dict(zip(names, values, strict=True))
    return row
