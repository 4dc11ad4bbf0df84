"""The rows of a JSON body, to be read some at a time: a large one holds its reader up for long."""

import msgspec
from msgspec import UNSET, UnsetType


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A body of rows, none of which has been read; with any other field it is read as a whole."""

    instances: list[msgspec.Raw]
    params: msgspec.Raw | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(_Body)


class RowPieces:
    """Bodies that each have some of a body's rows, and all else that it has.

    Raise ValueError for what has no rows that could be told apart like that: read that as a whole,
    and whatever is wrong is told as it would be.
    """

    def __init__(self, body: bytes) -> None:
        try:
            known = _DECODER.decode(body)
        except (ValueError, OverflowError, RecursionError) as error:
            raise ValueError("no body of rows") from error
        self._rows = known.instances
        self._end = b"]}" if known.params is UNSET else b'],"params":%b}' % bytes(known.params)

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self._rows)

    def body(self, start: int, stop: int) -> bytes:
        """Return the body with rows [start, stop) alone."""
        return b'{"instances":[' + b",".join(map(bytes, self._rows[start:stop])) + self._end
