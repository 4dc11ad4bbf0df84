"""Numbers in the answers of a registry, which may be anything."""

import re

_DIGITS = re.compile(r"[0-9]{1,19}")
"""A 64-bit integer has 19 digits at most; Python's own `int` raises for thousands of them."""


def milliseconds(value: object) -> int:
    """Return a time in Unix milliseconds, 0 where there is none. Raise ValueError for no such."""
    if value is None or value == "":
        return 0
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and 0 <= value < 2**63:
        return int(value)
    raise ValueError("a time is wanted, in milliseconds since 1970")
