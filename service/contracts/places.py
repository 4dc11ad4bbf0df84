"""Where a request's values stand in its body: what a fault that is found in them names."""

from collections.abc import Callable, Sequence

import msgspec

Place = Callable[[int], str]
"""Turns a row into the path of one input's value there, or of the row itself."""


class Places(msgspec.Struct, frozen=True):
    """The paths of one contract's values in one form of body, in the words of its protocol."""

    values: Sequence[Place]
    """For each input, the path of a row's value."""
    columns: Sequence[str]
    """For each input, the path of the array that has a value for each row."""
    rows: str
    """The path of what holds all rows."""
    row: Place | None = None
    """The path of a row; None where a row's values stand in several arrays."""
