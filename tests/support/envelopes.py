"""What codecs do, for tests of what is behind them."""

from collections.abc import Generator
from typing import TypeVar

from service.codecs.rows_and_columns.codec import RowsAndColumns
from service.contracts.contract import Call, Contract

T = TypeVar("T")


def decoded(contract: Contract, body: bytes) -> Call:
    """Return the call of a JSON body of rows or columns."""
    return RowsAndColumns(contract).decode(body)[0]


def finished(chunks: Generator[None, None, T]) -> tuple[T, int]:
    """Go on to the end; return what comes of it, and how many chunks it took."""
    count = 0
    while True:
        try:
            next(chunks)
        except StopIteration as end:
            result: T = end.value
            return result, count + 1
        count += 1
