"""How calls are put together and taken apart."""

import numpy as np

from service.contracts.contract import Call
from service.contracts.merge import merge, take

FIRST = Call(2, [np.array([1.0, 2.0]).tobytes(), ["a", None]], {"k": 1})
SECOND = Call(1, [np.array([3.0]).tobytes(), ["c"]], {"k": 1})


def test_merged_calls_have_the_rows_of_all_in_order() -> None:
    """Buffers are joined, lists put end to end."""
    merged = merge([FIRST, SECOND])
    assert merged == Call(3, [np.array([1.0, 2, 3]).tobytes(), ["a", None, "c"]], {"k": 1})


def test_rows_are_taken_in_the_order_asked_for() -> None:
    """Any rows, any number of times."""
    merged = merge([FIRST, SECOND])
    assert take(merged, [0, 1]) == FIRST
    assert take(merged, [2]) == SECOND
    assert take(merged, [2, 2]).columns[1] == ["c", "c"]
