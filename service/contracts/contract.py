"""What a contract is: one interface for the hand-written one and for those read off a signature."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Protocol

import msgspec
import numpy as np

from service.contracts.places import Places
from service.core.text_enum import TextEnum

Column = bytes | list[Any]
"""One input or output column on its way between processes.

`bytes` is a C-order, little-endian buffer of the column's dtype (rows first), so that the columns
of two requests are merged by joining them. A list holds one JSON-like value a row: str, None, bool,
int, bytes, or what a nested type holds.
"""

Values = np.ndarray[Any, Any] | Sequence[Any]
"""An input's values, one a row, before they become a Column.

An array of the dtype that the input is taken by, or a sequence of what msgspec has read: by the
input's type in `Contract.value_types`, UNSET in a row that has none. Empty where nobody sent it.
"""


class Filled(IntEnum):
    """How an optional column is filled, as far as it decides what the model gets."""

    FULLY = 0
    PARTLY = 1  # some values are missing, and its dtype is another for that
    WITH_NULLS = 2  # all values are missing, and its dtype is another for that
    ABSENT = 3  # nobody sent it: the model's frame has no such column


class Call(msgspec.Struct, frozen=True, array_like=True):
    """A validated request as it travels to a worker: `columns` in the order of the inputs.

    A column that nobody sent is empty. `params` is None where the caller gave none and the contract
    has none. `filled` has a byte for each optional input, a `Filled`, and is empty where all are
    filled. Only calls with the same params and the same `filled` may be merged.
    """

    rows: int
    columns: list[Column]
    params: dict[str, Any] | None = None
    filled: bytes = b""

    @property
    def lacks_columns(self) -> bool:
        """Whether some column was not sent."""
        return Filled.ABSENT in self.filled


class Predictions(msgspec.Struct, frozen=True, array_like=True):
    """A model's answers: one column for each of `names`, each `rows` long.

    `dtypes` has the numpy dtype of a buffer column ('' for a list column, 'json' for one of values
    that are written as JSON), `shapes` its shape beyond the rows ([] for one value a row).
    `non_finite` has the indices, ascending, of rows in which some number is NaN or infinite.
    `took_s` is what the call took in its worker, 0 where nobody measured.
    """

    rows: int
    names: list[str]
    columns: list[Column]
    dtypes: list[str]
    shapes: list[list[int]]
    non_finite: list[int]
    took_s: float = 0.0


class Layout(TextEnum):
    """The form in which a model takes its inputs."""

    COLUMNS = "columns"  # named columns: a DataFrame; an instance is an object
    POSITIONAL = "positional"  # unnamed columns: a DataFrame; an instance is an array
    TENSOR = "tensor"  # one unnamed tensor: an ndarray; an instance is a nested array
    TENSORS = "tensors"  # named tensors: a dict of ndarrays; an instance is an object


class InputSpec(msgspec.Struct, frozen=True):
    """One input: `type` in MLflow's word ('double', 'long', 'string', 'tensor', 'array', ...).

    `dtype` is the numpy dtype of its buffer, '' where it travels as a list; `shape` is a tensor's
    shape beyond the rows.
    """

    name: str
    type: str
    required: bool
    dtype: str
    shape: tuple[int, ...] = ()


class OutputSpec(msgspec.Struct, frozen=True):
    """One output by name; `type` as for inputs, '' where the signature does not say."""

    name: str
    type: str


class Contract(Protocol):
    """What callers send to a version, and what they read from it.

    Holds no state between calls and may be used from several threads.
    """

    layout: Layout
    inputs: tuple[InputSpec, ...]
    taken: tuple[InputSpec, ...]
    """The inputs as `call_of` takes them: wider than `inputs` where rules are about the value."""
    value_types: tuple[Any, ...]
    """For each input the type by which msgspec reads a value of it, with its bounds."""
    outputs: tuple[OutputSpec, ...]
    """Empty where the signature has none: then the model's own answer decides the names."""
    signature: dict[str, Any]
    """The signature as MLflow writes it, parsed: `inputs`, `outputs`, `params`."""
    refuse_unknown: bool
    """Whether fields that the signature does not have are refused, not ignored."""

    def call_of(
        self,
        rows: int,
        columns: Sequence[Values],
        params: dict[str, msgspec.Raw] | None,
        places: Places,
    ) -> Call:
        """Return the call for values whose types are right, in the order of the inputs.

        `params` are JSON values, None where nobody sent any. Raise ContractViolationError, by
        `places`, for what breaks a rule beyond the type, and for params.
        """
        ...
