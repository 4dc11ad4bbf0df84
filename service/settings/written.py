"""Values as people write them in variables: numbers and truth values."""

import math
import re

_LONGEST_NUMBER = 64
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d+(?:_\d+)*)?(?P<part>\.(?:\d+(?:_\d+)*)?)?(?P<power>e[+-]?\d{1,4})?",
    re.ASCII | re.IGNORECASE,
)
_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def read_float(text: str) -> float | None:
    """Read a decimal number (`2`, `.2`, `2.`, `+2`, `1e3`, `1_000`); None for anything else."""
    found = _NUMBER.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    if found is None or not (found["whole"] or (found["part"] or "").strip(".")):
        return None
    return float(text)


def read_int(text: str) -> int | None:
    """Read a whole number, also one that is written `1e6` or `2.0`; None for anything else."""
    number = read_float(text)
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    found = _NUMBER.fullmatch(text)
    exact = found is not None and not (found["part"] or found["power"])
    return int(text) if exact else int(number)


def read_bool(text: str) -> bool | None:
    """Read `true`, `yes`, `on` or `1`, or their opposites, in any case; None for anything else."""
    return _TRUTHS.get(text.lower())


def without_quotes(text: str) -> str:
    """Take away quotes around a value: `docker run --env-file` passes them on."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text
