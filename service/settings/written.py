"""Values as people write them in variables: numbers, quantities and truth values."""

import math
import re
from fractions import Fraction

_LONGEST_NUMBER = 64
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d+(?:_\d+)*)?(?P<part>\.(?:\d+(?:_\d+)*)?)?(?P<power>e[+-]?\d{1,4})?",
    re.ASCII | re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"(?P<number>[^a-z]*[0-9.])\s*(?P<unit>[a-z]{1,3})", re.ASCII | re.IGNORECASE
)
_SECOND = Fraction(1)
_DURATIONS = {
    "us": _SECOND / 1_000_000,
    "ms": _SECOND / 1_000,
    "s": _SECOND,
    "sec": _SECOND,
    "m": 60 * _SECOND,
    "min": 60 * _SECOND,
    "h": 3_600 * _SECOND,
    "d": 86_400 * _SECOND,
}
_SIZES = {
    "b": Fraction(1),
    **{f"{letter}b": Fraction(1000**power) for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": Fraction(1024**power) for power, letter in enumerate("kmgt", 1)},
}
_KINDS = {
    "_us": (_DURATIONS["us"], _DURATIONS),
    "_ms": (_DURATIONS["ms"], _DURATIONS),
    "_s": (_SECOND, _DURATIONS),
    "_bytes": (Fraction(1), _SIZES),
}
"""The unit of a setting, by the end of its name, and the units that it may be written in."""
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


def without_unit(name: str, text: str) -> str:
    """Return the number of a quantity in the unit that a setting's name ends with.

    `2s`, `500 ms` or `1.5h` for a duration, `32MiB` or `64kB` for a size: the text is returned as
    it is where it has no unit, or none of this kind. A whole number of units stays whole.
    """
    kind = next((kind for suffix, kind in _KINDS.items() if name.endswith(suffix)), None)
    bare = without_quotes(text)
    found = _QUANTITY.fullmatch(bare) if len(bare) <= _LONGEST_NUMBER else None
    if kind is None or found is None:
        return text
    own, units = kind
    unit = units.get(found["unit"].lower())
    number = read_float(found["number"])
    if unit is None or number is None:
        return text
    # By its digits: a float would make 0.1s a little more than 100 ms.
    value = Fraction(found["number"].strip().rstrip(".").replace("_", "")) * unit / own
    return str(value) if value.denominator == 1 else repr(float(value))


def read_bool(text: str) -> bool | None:
    """Read `true`, `yes`, `on` or `1`, or their opposites, in any case; None for anything else."""
    return _TRUTHS.get(text.lower())


def without_quotes(text: str) -> str:
    """Take away quotes around a value: `docker run --env-file` passes them on."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text
