"""Put the columns of several requests end to end, or take rows out of one."""

from collections.abc import Sequence

from service.contracts.contract import Call, Column


def merge(calls: Sequence[Call]) -> Call:
    """Return one Call with the rows of all, in order.

    All must be of one contract and have the same params.
    """
    if len(calls) == 1:
        return calls[0]
    columns = [_join(parts) for parts in zip(*(call.columns for call in calls), strict=True)]
    return Call(sum(call.rows for call in calls), columns, calls[0].params)


def take(call: Call, rows: Sequence[int]) -> Call:
    """Return a Call with these rows of another, in this order."""
    return Call(len(rows), [_pick(column, call.rows, rows) for column in call.columns], call.params)


def _join(parts: tuple[Column, ...]) -> Column:
    """Join one column's parts; a column has the same form in every call of one contract."""
    if isinstance(parts[0], bytes):
        return b"".join(parts)  # type: ignore[arg-type]
    return [value for part in parts for value in part]


def _pick(column: Column, total: int, rows: Sequence[int]) -> Column:
    if isinstance(column, list):
        return [column[row] for row in rows]
    width = len(column) // total
    return b"".join(column[row * width : (row + 1) * width] for row in rows)
