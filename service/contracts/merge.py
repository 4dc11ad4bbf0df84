"""Put the columns of several requests end to end."""

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


def _join(parts: tuple[Column, ...]) -> Column:
    """Join one column's parts; a column that is a list in any of them becomes one in all."""
    if all(isinstance(part, bytes) for part in parts):
        return b"".join(parts)  # type: ignore[arg-type]
    return [value for part in parts for value in part]
