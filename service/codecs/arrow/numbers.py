"""Numbers out of Arrow columns, and the faults that columns of any kind can have.

A type is taken where it is the contract's own or safely widens to it: as numpy's safe casts have
it, which never take booleans for numbers. What JSON can't say is refused here too: NaN, infinities.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.codecs.places import place_in_columns
from service.contracts.faults import violation_at
from service.core.errors import ContractViolationError

Array = np.ndarray[Any, Any]


def numbers(column: pa.ChunkedArray) -> tuple[Array, Array | None]:
    """Return a column's values, 0 for a null, and where the nulls are; None where there are none.

    Over Arrow's own buffer, where there are no nulls and it came in one piece.
    """
    holes = None
    if column.null_count:
        holes = column.is_null().to_numpy()
        column = column.fill_null(pa.scalar(0).cast(column.type))
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)), holes


def casts(kind: pa.DataType, wanted: "np.dtype[Any]") -> bool:
    """Tell whether every value of an Arrow type is one of this dtype."""
    if pa.types.is_boolean(kind) or wanted.kind == "b":
        return bool(pa.types.is_boolean(kind)) and wanted.kind == "b"
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return False
    return np.can_cast(np.dtype(kind.to_pandas_dtype()), wanted, "safe")


def check_finite(name: str, values: Array, a_row: int) -> None:
    """Raise ContractViolationError for NaN or infinity; there are `a_row` values a row."""
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    if bad.any():
        at = int(bad.argmax())
        value = values[at].item()
        raise violation_at(place_in_columns(name), at // a_row, "a finite number", value)


def first_null(column: pa.ChunkedArray) -> int | None:
    """Return where the first null is, None where there is none; a dictionary may hold one, too."""
    if pa.types.is_dictionary(column.type):
        nulls = np.concatenate([_null_words(chunk) for chunk in column.chunks])
        return int(nulls.argmax()) if nulls.any() else None
    return int(column.is_null().to_numpy().argmax()) if column.null_count else None


def word_indices(chunk: pa.Array) -> Array:
    """Return which word of a dictionary each row is; one past the last for a null."""
    indices = pc.fill_null(chunk.indices.cast(pa.int64()), len(chunk.dictionary))
    return np.asarray(indices.to_numpy(zero_copy_only=False))


def wrong_type(name: str, wanted: str, column: pa.ChunkedArray) -> ContractViolationError:
    """Return the error for a column of another type."""
    return ContractViolationError(
        f"columns.{name}", None, f"a column of {wanted}", f"a column of {column.type}"
    )


def _null_words(chunk: pa.Array) -> Array:
    words = np.append(chunk.dictionary.is_null().to_numpy(zero_copy_only=False), values=True)
    return np.asarray(words[word_indices(chunk)])
