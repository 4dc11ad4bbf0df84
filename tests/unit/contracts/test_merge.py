"""How calls are put together and taken apart."""

import msgspec
import numpy as np

from service.contracts.contract import Call, Predictions
from service.contracts.merge import join, merge, part, take

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


def test_parts_put_together_are_the_whole() -> None:
    """Of buffers of any width, and of lists."""
    call = Call(4, [np.arange(8.0).tobytes(), ["a", None, "c", "d"], b"\0\1\0\1"], {"k": 1})
    for middle in range(1, 4):
        assert merge([part(call, 0, middle), part(call, middle, 4)]) == call
    assert part(call, 1, 2).columns == [np.array([2.0, 3]).tobytes(), [None], b"\1"]


def answers(*values: float, dtype: str = "<f8", non_finite: tuple[int, ...] = ()) -> Predictions:
    """Return a model's answers to so many rows."""
    column = np.array(values, dtype).tobytes() if dtype else list(values)
    return Predictions(len(values), ["y"], [column], [dtype], [[]], list(non_finite), 0.5)


def test_answers_to_parts_are_those_to_the_whole() -> None:
    """With the rows that are not finite as the whole counts them."""
    joined = join([answers(1, 2, non_finite=(1,)), answers(3), answers(4, 5, non_finite=(0, 1))])
    assert joined == Predictions(
        5, ["y"], [np.array([1.0, 2, 3, 4, 5]).tobytes()], ["<f8"], [[]], [1, 3, 4], 1.5
    )


def test_answers_of_other_types_are_not_put_together() -> None:
    """A model may answer some rows by integers and others by floats, or by a list."""
    assert join([answers(1, 2), answers(3, dtype="<i8")]) is None
    assert join([answers(1, 2, dtype=""), answers(3)]) is None
    assert join([answers(1, dtype=""), answers(2, dtype="")]) == msgspec.structs.replace(
        answers(1, 2, dtype=""), took_s=1.0
    )
