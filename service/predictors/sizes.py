"""Make a call of any number of rows out of a few."""

from service.contracts.contract import Call
from service.contracts.merge import take


def sized(call: Call, rows: int) -> Call:
    """Return a call of so many rows, made of another's again and again."""
    return take(call, [row % call.rows for row in range(rows)])
