"""Which JSON bodies take long to be decoded, or become much, told without decoding them."""

from service.codecs.bounds import FREE_BYTES, Bounds
from service.contracts.answer_size import LOOP_VALUES
from service.contracts.contract import Contract
from service.contracts.keys import plain_names
from service.contracts.mlflow_types import SCALARS
from service.core.errors import BodyTooLargeError

_VALUE_BYTES = 8
_LOOKED_INTO_BYTES = 20_000
"""A JSON body of fewer bytes holds too little to be counted before it is decoded."""
_LEAST_VALUE_BYTES = 2
_ROWS_FIRST = b'{"instances":'
_MOMENT_VALUES = 4
"""A moment takes as long to read as so many numbers."""


class ReadingCost:
    """Tells which JSON bodies of a contract take too long to be decoded on the event loop."""

    def __init__(self, contract: Contract) -> None:
        self._inputs = len(contract.inputs)
        # A row has at least its required names: `{"a":1}`.
        names = sum(len(spec.name) + 4 for spec in contract.inputs if spec.required)
        self._least_row_bytes = _LEAST_VALUE_BYTES + names
        moments = any(spec.type == "datetime" for spec in contract.inputs)
        self._a_value = _MOMENT_VALUES if moments else 1
        least_value_bytes = self._least_row_bytes / max(1, self._inputs)
        self._few_bytes = int(LOOP_VALUES * min(_LEAST_VALUE_BYTES, least_value_bytes))
        """A body of so many has no room for more than LOOP_VALUES."""
        is_flat = plain_names(spec.name for spec in contract.inputs) and all(
            spec.type in SCALARS for spec in contract.inputs
        )
        self._few_in_rows = int(LOOP_VALUES / self._a_value * least_value_bytes) if is_flat else 0
        """Nor has one of so many bytes in rows, each of which has at least its required names."""

    def is_high(self, body: bytes) -> bool:
        """Tell whether a body may have more than LOOP_VALUES.

        Almost all are told by their length alone: to count takes a nanosecond a byte. One that has
        rows first and columns after them may have more. It is refused for having both, and holds
        the loop for 15 ms at RAW_BODY_BYTES.
        """
        if len(body) <= self._few_bytes or (
            len(body) <= self._few_in_rows and body.startswith(_ROWS_FIRST)
        ):
            return False
        values = body.count(b",") * self._a_value
        return max(values, body.count(b"{") * self._inputs) > LOOP_VALUES


def check_size(body: bytes, inputs: int, bounds: Bounds) -> None:
    """Raise BodyTooLargeError before a body is decoded whose rows are many, and hold nothing.

    Each `{` is a row or an object within one.
    """
    if len(body) <= _LOOKED_INTO_BYTES:
        return
    rows = body.count(b"{") - 1
    bounds.check_rows(rows, " or objects")
    most = max(FREE_BYTES, bounds.max_decoded_bytes) // _VALUE_BYTES
    if rows * inputs > most:
        raise BodyTooLargeError(
            f"the body's rows would hold {rows * inputs} values, and {most} are taken "
            "(MAX_BODY_BYTES)"
        )
