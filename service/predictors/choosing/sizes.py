"""Make a call of any number of rows out of a few."""

from service.contracts.contract import Call
from service.contracts.merge import merge, part


def sized(call: Call, rows: int) -> Call:
    """Return a call of so many rows, made of another's again and again."""
    times, rest = divmod(rows, call.rows)
    return merge([*[call] * times, part(call, 0, rest)])
