"""A predictor is verified where it answers as pyfunc does, row for row, and only there."""

import numpy as np
import pytest

from service.contracts.contract import Call, Predictions
from service.predictors.choosing.verification import (
    Reference,
    TooFewRowsError,
    refer,
    refer_to_more,
    why_not,
)
from service.predictors.engines.engine import BeyondError
from tests.support.stub_predictors import (
    Doubles,
    Function,
    Stub,
    answer_of,
    call_of,
    raising,
    values_of,
)

RTOL = 1e-12
ROWS = [float(row) for row in range(3000)]


def reference(odd: list[Call] | None = None) -> Reference:
    """Ask a model that doubles, and raises on what is negative."""
    return refer(Stub("pyfunc", strict(lambda a: a * 2)), call_of(ROWS), odd or [])


def strict(function: Function) -> Function:
    """Return a function that raises on negative values."""

    def checked(values: Doubles) -> Doubles:
        if (values < 0).any():
            raise ValueError("negative")
        return function(values)

    return checked


def test_one_that_answers_the_same_is_verified() -> None:
    """At every batch size, also within rounding."""
    assert why_not(Stub("same", lambda a: a + a), reference(), RTOL) == ""
    assert why_not(Stub("near", lambda a: a * 2 * (1 + 1e-15)), reference(), RTOL) == ""


def test_one_wrong_row_is_enough() -> None:
    """The verdict has the row, and both answers."""

    def wrong_once(values: Doubles) -> Doubles:
        answer: Doubles = values * 2
        answer[values == 2345.0] = 1.0
        return answer

    reason = why_not(Stub("wrong", wrong_once), reference(), RTOL)
    assert "y is 4690.0 and 1.0" in reason
    assert np.float64(2345).tobytes()[::-1].hex() in reason


def test_tolerance_is_of_the_value_or_of_the_columns_scale() -> None:
    """What is off by more than both is another answer."""
    off = Stub("off", lambda a: a * 2 + 6e-7)
    assert why_not(off, reference(), 1e-12) != ""
    assert why_not(off, reference(), 1e-6) == ""


@pytest.mark.parametrize("size", [1, 8, 64, 512, 3000])
def test_one_that_is_wrong_at_one_batch_size_is_refused(size: int) -> None:
    """Code takes other paths for other sizes."""

    def wrong_at(values: Doubles) -> Doubles:
        return values * 2 + (len(values) == size)

    assert f"in calls of {size} rows" in why_not(Stub("wrong", wrong_at), reference(), RTOL)


def test_one_that_raises_where_pyfunc_answers_is_refused() -> None:
    """Though pyfunc would answer for it, it would be slower than pyfunc alone."""
    reason = why_not(Stub("raising", raising(ValueError("odd"))), reference(), RTOL)
    assert "raises ValueError (odd) where the model answers" in reason


def test_one_that_answers_where_pyfunc_raises_is_refused() -> None:
    """An answer instead of an error is another answer."""
    known = reference([call_of([-1.0])])
    reason = why_not(Stub("lenient", lambda a: a * 2), known, RTOL)
    assert "on which the model raises ValueError" in reason
    assert why_not(Stub("strict", strict(lambda a: a * 2)), known, RTOL) == ""


def test_one_that_answers_a_row_too_late_is_refused() -> None:
    """One row too few, then one too many: end to end they would be right."""

    class Late:
        name = "late"

        def predict(self, call: Call) -> Predictions:
            values = values_of(call) * 2
            if len(values) == 8 and values[0] == 0.0:
                return answer_of(values[:-1])
            if len(values) == 8 and values[0] == 16.0:
                return answer_of(np.concatenate([[14.0], values]))
            return answer_of(values)

    assert "rows are 8 and 7" in why_not(Late(), reference(), RTOL)


def test_one_that_answers_in_another_form_once_is_refused() -> None:
    """Though its numbers are equal."""

    class Narrow:
        name = "narrow"

        def predict(self, call: Call) -> Predictions:
            values = values_of(call) * 2
            if values[0] != 128.0:
                return answer_of(values)
            narrow = values.astype(np.float32).tobytes()
            return Predictions(len(values), ["y"], [narrow], ["float32"], [[]], [])

    assert "dtypes are" in why_not(Narrow(), reference(), RTOL)


def test_rows_may_be_left_to_pyfunc_and_the_others_count() -> None:
    """A batch with such a row is compared without it."""

    def picky(values: Doubles) -> Doubles:
        if (values == 7).any():
            raise BeyondError("seven")
        return values * 2

    def picky_and_wrong(values: Doubles) -> Doubles:
        answer: Doubles = picky(values) + (values == 8)
        return answer

    assert why_not(Stub("picky", picky), reference(), RTOL) == ""
    assert "y is 16.0 and 17.0" in why_not(Stub("wrong", picky_and_wrong), reference(), RTOL)


def test_rows_on_which_pyfunc_raises_are_found_and_set_apart() -> None:
    """The others are compared all the same."""
    values = [-1.0 if row in {5, 1700} else float(row) for row in range(3000)]
    known = refer(Stub("pyfunc", strict(lambda a: a * 2)), call_of(values), [])
    assert known.rows.rows == 2998
    assert [raised for _, raised in known.refused] == ["ValueError", "ValueError"]


def test_odd_rows_are_tried_one_by_one_and_set_no_scale() -> None:
    """A huge answer to an absurd row excuses no other."""
    known = refer(Stub("pyfunc", lambda a: a * 2), call_of(ROWS), [call_of([1e30])])
    assert values_of(known.rows)[0] == 1e30
    assert known.scales[0] < 6000
    assert why_not(Stub("off", lambda a: a * 2 + 1e-3), known, RTOL) != ""


def test_more_rows_are_asked_for_by_themselves_and_compared_beside_the_others() -> None:
    """What is answered already is not asked for again; where a row is odd is known as before."""
    pyfunc = Stub("pyfunc", strict(lambda a: a * 2))
    known = refer(pyfunc, call_of(ROWS), [call_of([1e30])])
    assert known.usual == call_of(ROWS)
    more = refer_to_more(pyfunc, known, [call_of([0.5]), call_of([-1.0, 2.5])])
    assert pyfunc.asked[0] == 3001
    assert max(pyfunc.asked[1:]) == 3
    assert values_of(more.rows)[-2:].tolist() == [0.5, 2.5]
    assert [raised for _, raised in more.refused] == ["ValueError"]
    assert more.scales[0] < 6000
    wrong = Stub("wrong", strict(lambda a: a * 2 + (a == 2.5)))
    assert "y is 5.0 and 6.0" in why_not(wrong, more, RTOL)
    assert why_not(Stub("right", strict(lambda a: a * 2)), more, RTOL) == ""
    assert refer_to_more(pyfunc, known, []) == known
    assert refer_to_more(pyfunc, known, [call_of([-1.0])]).rows == known.rows


def test_where_the_answers_type_depends_on_the_rows_all_are_asked_for_together() -> None:
    """Answers of two types can't be put end to end."""

    class Whimsical(Stub):
        def predict(self, call: Call) -> Predictions:
            """Answer few rows by whole numbers."""
            values = values_of(call)
            if call.rows > 10:
                return answer_of(values)
            self.asked.append(call.rows)
            whole = values.astype(np.int64).tobytes()
            return Predictions(call.rows, ["y"], [whole], ["int64"], [[]], [])

    pyfunc = Whimsical("pyfunc", lambda a: a)
    more = refer_to_more(pyfunc, refer(pyfunc, call_of(ROWS), []), [call_of([7.0])])
    assert pyfunc.asked == [1]
    assert (more.answers.rows, more.answers.dtypes) == (3001, ["float64"])


def test_nothing_is_compared_with_a_model_that_answers_too_few_rows() -> None:
    """What was not compared is not verified."""
    with pytest.raises(TooFewRowsError, match="answered 0 probe rows"):
        refer(Stub("pyfunc", raising(ValueError("no"))), call_of(ROWS), [])
