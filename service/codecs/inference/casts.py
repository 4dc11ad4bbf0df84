"""Cast a tensor's numbers to the type of an input, where every value is kept.

- Booleans are no numbers, and numbers no booleans.
- An integer becomes a narrower integer, or a floating-point number, where that is the same number.
- A floating-point number becomes an integer where it is whole and in range.
- It becomes a narrower one where that is the same number. A number in JSON has no width of its own:
  it becomes the nearest one of the input's type, as in every other form of JSON.
- NaN is what an optional input lacks, and otherwise refused, as infinity is: JSON has neither.
"""

from typing import Any

import numpy as np

from service.codecs.inference.elements import Read
from service.contracts.faults import violation
from service.core.errors import ContractViolationError

Array = np.ndarray[Any, Any]
_MANTISSA = {"float16": 11, "float32": 24, "float64": 53}
"""How many bits of an integer a floating-point number keeps, however large it is."""


def cast(read: Read, found: Array, dtype: str, *, nulls: bool) -> Array:
    """Return the elements of an input, as an array of this dtype.

    With `nulls`, NaN may stand for what is not there; an integer is never that here. Raise
    ContractViolationError, with the row, for a value that would not be kept.
    """
    target = np.dtype(dtype)
    if (target.kind == "b") != (found.dtype.kind == "b"):
        raise _kind(read, target)
    if found.dtype.kind == "f":
        _check_finite(read, found, nulls=nulls and target.kind == "f")
        if target.kind == "f":
            return _to_narrower(read, found, target)
        return _to_integers(read, found, target)
    if found.dtype == target:
        return found
    if target.kind == "f":
        return _to_floats(read, found, target)
    limits = np.iinfo(target)
    # Python's integers: numpy compares none of two types' bounds beyond each other exactly.
    source = np.iinfo(found.dtype)
    if source.min < limits.min:
        _refuse(read, found, found < limits.min, f"an integer that fits {target}")
    if source.max > limits.max:
        _refuse(read, found, found > limits.max, f"an integer that fits {target}")
    return found.astype(target)


def _check_finite(read: Read, found: Array, *, nulls: bool) -> None:
    wrong = np.isinf(found) if nulls else ~np.isfinite(found)
    _refuse(read, found, wrong, "a finite number")


def _to_narrower(read: Read, found: Array, target: "np.dtype[Any]") -> Array:
    if found.dtype == target:
        return found
    with np.errstate(over="ignore"):
        narrow = found.astype(target)
    if target.itemsize < found.dtype.itemsize:
        wrong = np.isinf(narrow) if read.in_json else (narrow != found) & ~np.isnan(found)
        _refuse(read, found, wrong, f"a number that {target} holds")
    return narrow


def _to_integers(read: Read, found: Array, target: "np.dtype[Any]") -> Array:
    limits = np.iinfo(target)
    low, high = float(limits.min), float(limits.max) + 1.0
    wide = found.astype(np.float64)
    # The largest of 64 bits is no float64: the next one is where its range ends.
    beyond = wide >= high if limits.max >= 2**53 else wide > limits.max
    _refuse(read, found, (wide != np.floor(wide)) | (wide < low) | beyond, "an integer")
    return wide.astype(target)


def _to_floats(read: Read, found: Array, target: "np.dtype[Any]") -> Array:
    with np.errstate(over="ignore"):
        floats = found.astype(target)
    bits = _MANTISSA[target.name]
    if np.iinfo(found.dtype).max >= 2**bits:
        most = 2.0 ** (64 if found.dtype.kind == "u" else 63)
        back = floats.astype(np.float64)
        fits = np.isfinite(back) & (back < most)
        same = np.where(fits, back, 0).astype(found.dtype) == found
        _refuse(read, found, ~(fits & same), f"an integer that {target} holds")
    return floats


def _refuse(read: Read, found: Array, wrong: Array, expected: str) -> None:
    if wrong.any():
        at = int(wrong.argmax())
        row = at * read.rows // len(found)
        raise violation(read.path(row), expected, found[at].item(), row)


def _kind(read: Read, target: "np.dtype[Any]") -> ContractViolationError:
    wanted = "BOOL" if target.kind == "b" else "numbers"
    return ContractViolationError(f"inputs.{read.name}", None, wanted, read.datatype)
