"""Tell whether a model is row-wise: rows get the same answers together, apart and in reverse."""

from collections.abc import Callable, Sequence

from service.contracts.contract import Call, Contract, Predictions
from service.contracts.merge import take
from service.predictors.examples import made_up_call
from service.predictors.outputs import RowCountError
from service.predictors.proving.varied import PROBE_ROWS, distinct, varied
from service.predictors.tolerance import rounding_difference

Predict = Callable[[Call], Predictions]


def probe_calls(contract: Contract, example: Call | None) -> list[Call]:
    """Return calls of distinct rows, the boldest first, the example's own rows last.

    Those that come later are for a model that raises on the earlier ones. Without an example the
    rows come from the signature alone. A call whose rows are all the same shows nothing, and is
    left out.
    """
    base = example or made_up_call(contract)
    if base is None:
        return []
    calls = [
        varied(contract, base, bold=True, nulls=True),
        varied(contract, base, bold=True, nulls=False),
        varied(contract, base, bold=False, nulls=False),
    ]
    if example is not None:
        calls.append(take(example, range(min(example.rows, PROBE_ROWS))))
    return [call for call in calls if distinct(call) > 1]


def judge_row_wise(predict: Predict, calls: Sequence[Call]) -> tuple[bool, str]:
    """Tell whether the model is row-wise, by the first of the calls on which it does not raise.

    Raise RowCountError where it answers a part of that call with another number of rows.
    """
    reason = "there are no two different rows to try"
    for call in calls:
        try:
            together = predict(call)
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            reason = _raised("the probe rows", error)
            continue
        return _compare(predict, call, together)
    return False, f"not shown to be row-wise: {reason}"


def is_row_wise(predict: Predict, call: Call) -> tuple[bool, str]:
    """Tell whether rows answered together, apart and in reverse get the same answers."""
    if distinct(call) < 2:  # noqa: PLR2004 - a pair
        return False, "not shown to be row-wise: there are no two different rows to try"
    return judge_row_wise(predict, [call])


def _compare(predict: Predict, call: Call, together: Predictions) -> tuple[bool, str]:
    for rows, how in _partings(call.rows):
        try:
            apart = predict(take(call, rows))
        except RowCountError:
            raise
        except Exception as error:  # noqa: BLE001
            return False, _raised(how, error)
        if difference := rounding_difference(together, rows, apart):
            return False, f"{how} gets another answer than among others: {difference}"
    return True, f"{call.rows} rows got the same answers together, apart and in reverse"


def _partings(rows: int) -> list[tuple[Sequence[int], str]]:
    """Return parts of a call that show together what each row alone would, in fewer calls.

    Every other row, in reverse, and the rest of them: whatever a row takes from all others
    (a mean, a largest value, a count), from its neighbours or from its place is another then. One
    alone, too, since a single row is a case of its own for many a model.
    """
    backwards = range(rows - 1, -1, -1)
    some, rest = backwards[::2], backwards[1::2]
    what = "every other row, in reverse,"
    return [(some, what), (rest, what), ([0], "a row alone"), ([rows - 1], "a row alone")]


def _raised(what: str, error: Exception) -> str:
    # What a model raises may come wrapped into an error of ours.
    return f"the model raised {type(error.__cause__ or error).__name__} on {what}"
