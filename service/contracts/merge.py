"""Put the columns of several requests or answers end to end, or take rows out of one."""

from collections.abc import Sequence

from service.contracts.contract import Call, Column, Predictions


def merge(calls: Sequence[Call]) -> Call:
    """Return one Call with the rows of all, in order.

    All must be of one contract and have the same params, and the same columns filled.
    """
    if len(calls) == 1:
        return calls[0]
    columns = [_join(parts) for parts in zip(*(call.columns for call in calls), strict=True)]
    rows = sum(call.rows for call in calls)
    return Call(rows, columns, calls[0].params, calls[0].filled)


def take(call: Call, rows: Sequence[int]) -> Call:
    """Return a Call with these rows of another, in this order."""
    columns = [_pick(column, call.rows, rows) for column in call.columns]
    return Call(len(rows), columns, call.params, call.filled)


def part(call: Call, start: int, stop: int) -> Call:
    """Return a Call with rows [start, stop) of another."""
    columns = [_cut(column, call.rows, start, stop) for column in call.columns]
    return Call(stop - start, columns, call.params, call.filled)


def cut(predictions: Predictions, start: int, stop: int) -> Predictions:
    """Return rows [start, stop) of an answer."""
    rows = predictions.rows
    if (start, stop) == (0, rows):
        return predictions
    return Predictions(
        stop - start,
        predictions.names,
        [_cut(column, rows, start, stop) for column in predictions.columns],
        predictions.dtypes,
        predictions.shapes,
        [row - start for row in predictions.non_finite if start <= row < stop],
        predictions.took_s,
    )


def join(answers: Sequence[Predictions]) -> Predictions | None:
    """Return the answers to the parts of a call as those to the whole.

    None where the parts are not alike: a model may give a column another type, by its rows.
    """
    first = answers[0]
    alike = (first.names, first.dtypes, first.shapes, [type(column) for column in first.columns])
    non_finite: list[int] = []
    rows = 0
    for one in answers:
        if (one.names, one.dtypes, one.shapes, [type(column) for column in one.columns]) != alike:
            return None
        non_finite.extend(rows + index for index in one.non_finite)
        rows += one.rows
    columns = [_join(parts) for parts in zip(*(one.columns for one in answers), strict=True)]
    took_s = sum(one.took_s for one in answers)
    return Predictions(rows, first.names, columns, first.dtypes, first.shapes, non_finite, took_s)


def _join(parts: tuple[Column, ...]) -> Column:
    """Join one column's parts; a column has the same form in every call of one contract."""
    if isinstance(parts[0], bytes):
        return b"".join(parts)  # type: ignore[arg-type]
    return [value for part in parts for value in part]


def _cut(column: Column, total: int, start: int, stop: int) -> Column:
    width = 1 if isinstance(column, list) else len(column) // total
    return column[start * width : stop * width]


def _pick(column: Column, total: int, rows: Sequence[int]) -> Column:
    if not column:
        return column
    if isinstance(column, list):
        return [column[row] for row in rows]
    width = len(column) // total
    return b"".join(column[row * width : (row + 1) * width] for row in rows)
