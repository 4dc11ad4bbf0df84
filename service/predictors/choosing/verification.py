"""Verify that a predictor answers as pyfunc does, row for row, at every batch size."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from service.contracts.contract import Call, Predictions
from service.contracts.merge import join, merge, part, take
from service.predictors.engines.engine import BeyondError
from service.predictors.predictor import Predictor
from service.predictors.tolerance import difference, scales_of

_SIZES = ((1, 128), (8, 512), (64, 1024), (512, 4096))
"""Rows in a call, and how many rows are tried in calls of that size."""
_LEAST_CALLS = 16
_ENOUGH_S = 0.2
"""Calls of one size end after so much CPU time, and the least number of them."""
_MOST_CALLS = 400
"""So many calls of pyfunc find the rows on which it raises; the rest is left out."""
_ENOUGH_ROWS = 2000


class Reference(NamedTuple):
    """What pyfunc answered: `rows` it answered, the first of them `odd`, `refused` it raised on.

    `scales` are those of its answers' columns, to usual rows and not to odd ones.
    """

    rows: Call
    answers: Predictions
    odd: int
    scales: list[float]
    refused: tuple[tuple[Call, str], ...]

    @property
    def usual(self) -> Call:
        """Return the rows that are not odd."""
        return part(self.rows, self.odd, self.rows.rows)


class TooFewRowsError(Exception):
    """Pyfunc answered too few of the probe rows to compare anything with it."""


def refer(pyfunc: Predictor, usual: Call, odd: Sequence[Call]) -> Reference:
    """Ask pyfunc what it answers to usual rows and to odd ones. Raise TooFewRowsError."""
    # The odd ones first: those are the rows that are tried one by one.
    asked = _ask(pyfunc, [merge(odd)] if odd else [], [usual], least=_ENOUGH_ROWS)
    strange = sum(call.rows for call in asked.groups[0])
    rows, (answers,) = merge(asked.calls), asked.answers
    return Reference(rows, answers, strange, scales_of(answers, strange), tuple(asked.refused))


def refer_to_more(pyfunc: Predictor, known: Reference, calls: Sequence[Call]) -> Reference:
    """Ask pyfunc what it answers to some more usual rows, too."""
    asked = _ask(pyfunc, calls)
    rows = merge([known.rows, *asked.calls])
    # Where the type of what it answers depends on the rows, it is asked for all of them together.
    answers = join([known.answers, *asked.answers]) or pyfunc.predict(rows)
    scales = scales_of(answers, known.odd)
    return Reference(rows, answers, known.odd, scales, (*known.refused, *asked.refused))


class _Asked(NamedTuple):
    """What pyfunc answers of each of the `groups` of calls, together, and each row it `refused`.

    One answer to all of them; none where nothing is left.
    """

    groups: list[Sequence[Call]]
    answers: list[Predictions]
    refused: list[tuple[Call, str]]

    @property
    def calls(self) -> list[Call]:
        """Return those of all groups, in order."""
        return list(chain(*self.groups))


def _ask(pyfunc: Predictor, *groups: Sequence[Call], least: int = 0) -> _Asked:
    """Ask for all rows in one call, and where it raises again for those on which it does not.

    Raise TooFewRowsError for less than the `least` rows.
    """
    left = list(groups)
    refused: list[tuple[Call, str]] = []
    try:
        answers = _together(pyfunc, list(chain(*left)), least)
    except Exception:  # noqa: BLE001 - a model may raise anything
        for at, group in enumerate(groups):
            left[at], raised_on = _sorted_out(pyfunc, group)
            refused += raised_on
        answers = _together(pyfunc, list(chain(*left)), least)
    return _Asked(left, answers, refused)


def _together(pyfunc: Predictor, calls: Sequence[Call], least: int) -> list[Predictions]:
    rows = sum(call.rows for call in calls)
    if rows < least:
        raise TooFewRowsError(f"the model answered {rows} probe rows of {least} wanted")
    return [pyfunc.predict(merge(calls))] if calls else []


def _sorted_out(
    pyfunc: Predictor, calls: Sequence[Call]
) -> tuple[list[Call], list[tuple[Call, str]]]:
    """Return calls that the model answers, in order, and each row on which it raises."""
    answered: list[Call] = []
    refused: list[tuple[Call, str]] = []
    waiting, left = list(reversed(calls)), _MOST_CALLS
    while waiting and left:
        call = waiting.pop()
        left -= 1
        if not (raised := _raised(pyfunc, call)):
            answered.append(call)
        elif call.rows == 1:
            refused.append((call, raised))
        else:
            middle = call.rows // 2
            waiting += [part(call, middle, call.rows), part(call, 0, middle)]
    return answered, refused


def why_not(predictor: Predictor, reference: Reference, rtol: float) -> str:
    """Say why a predictor is not right, with the row; '' where it is."""
    total = reference.rows.rows
    for size, most in (*_SIZES, (total, total)):
        if reason := _difference_in_calls(predictor, reference, size, min(most, total), rtol):
            return f"in calls of {size} rows, {reason}"
    return _answers_refused(predictor, reference)


def _difference_in_calls(
    predictor: Predictor, reference: Reference, size: int, rows: int, rtol: float
) -> str:
    """Compare the answers to some rows in calls of a size: all together, which takes less time."""
    answers: list[Predictions] = []
    asked: list[int] = []
    try:
        for start, stop in _calls(reference, size, rows):
            answers.append(predictor.predict(part(reference.rows, start, stop)))
            asked.append(stop - start)
    except BeyondError:
        together = None
    except Exception as error:  # noqa: BLE001 - converted code may raise anything
        return _raises(error)
    else:
        # None where some have another form than others.
        together = join(answers) if [one.rows for one in answers] == asked else None
    if together is not None:
        return _difference(reference, 0, sum(asked), together, rtol)
    reasons = (
        _difference_of_call(predictor, reference, start, stop, rtol)
        for start, stop in _calls(reference, size, rows)
    )
    return next(filter(None, reasons), "")


def _calls(reference: Reference, size: int, rows: int) -> Iterator[tuple[int, int]]:
    """Give the first and the last row of each call, as long as it is not enough."""
    began_s = time.process_time()
    for number, start in enumerate(range(0, rows, size)):
        # An engine as slow as the model itself is tried often enough by then.
        if number >= _LEAST_CALLS and time.process_time() - began_s > _ENOUGH_S:
            return
        yield start, min(start + size, reference.rows.rows)


def _difference_of_call(
    predictor: Predictor, reference: Reference, start: int, stop: int, rtol: float
) -> str:
    """Compare the answers to the rows of one call."""
    try:
        found = predictor.predict(part(reference.rows, start, stop))
    except BeyondError:
        return _left_alone(predictor, reference, start, stop, rtol)
    except Exception as error:  # noqa: BLE001 - converted code may raise anything
        return _raises(error)
    return _difference(reference, start, stop, found, rtol)


def _raises(error: Exception) -> str:
    return f"it raises {type(error).__name__} ({error}) where the model answers"


def _difference(
    reference: Reference, start: int, stop: int, found: Predictions, rtol: float
) -> str:
    """Compare the answers to rows [start, stop)."""
    wanted = _part(reference.answers, start, stop)
    differing = difference(wanted, found, rtol, reference.scales)
    if differing is None:
        return ""
    shown = _shown(take(reference.rows, [start + max(differing.row, 0)]))
    return f"{differing.text} for the row {shown}"


def _left_alone(
    predictor: Predictor, reference: Reference, start: int, stop: int, rtol: float
) -> str:
    """Compare the rows that it does not leave to the model, one by one."""
    if stop - start == 1:
        return ""
    middle = (start + stop) // 2
    return _difference_of_call(predictor, reference, start, middle, rtol) or _difference_of_call(
        predictor, reference, middle, stop, rtol
    )


def _answers_refused(predictor: Predictor, reference: Reference) -> str:
    """Say on which row it answers although the model raises: that, too, is another answer."""
    for call, raised in reference.refused:
        try:
            predictor.predict(call)
        except Exception:  # noqa: BLE001, S112 - as it should: then the model itself is asked
            continue
        return f"it answers the row {_shown(call)}, on which the model raises {raised}"
    return ""


def _raised(pyfunc: Predictor, call: Call) -> str:
    try:
        pyfunc.predict(call)
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return type(error.__cause__ or error).__name__
    return ""


def _part(predictions: Predictions, start: int, stop: int) -> Predictions:
    count = predictions.rows
    columns = part(Call(count, predictions.columns), start, stop).columns
    bad = [row - start for row in predictions.non_finite if start <= row < stop]
    return Predictions(
        stop - start, predictions.names, columns, predictions.dtypes, predictions.shapes, bad
    )


def _shown(call: Call) -> str:
    """Show one row as numbers and texts."""
    values = [
        column[0] if isinstance(column, list) else "0x" + column[::-1].hex()
        for column in call.columns
    ]
    return ", ".join(str(value) for value in values)[:300]
