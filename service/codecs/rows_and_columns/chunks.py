"""Read a JSON body of rows some at a time: a large one holds its reader up for long."""

import re
from collections.abc import Iterator

import msgspec

from service.codecs.bounds import CHUNK_BYTES

REACH_BYTES = 1_048_576
"""How far a row may go on after that."""
_HEAD = re.compile(rb'\s*\{\s*"instances"\s*:\s*\[')
_TAIL = re.compile(rb"\]\s*\}\s*\Z")
_TAIL_BYTES = 64
_SEAM = re.compile(rb"[}\]]\s*,\s*(?=[{\[])")
"""What may stand between two rows; it may as well stand within a row, or in a string."""

_VALUES = msgspec.json.Decoder(list[msgspec.Raw])


def in_chunks(body: bytes) -> Iterator[bytes]:
    """Yield bodies that have the rows of this one, some in each, in order.

    Raise ValueError where that can't be told, in the midst of it too: then the body is to be read
    as a whole, and what is wrong, if anything is, is told as it would be.

    Where a body may be cut is guessed, and the guess is proved: what lies between two cuts has to
    be a sequence of whole JSON values. If all of it is, there is no other way to read the body.
    """
    head, tail = _HEAD.match(body), _TAIL.search(body, max(0, len(body) - _TAIL_BYTES))
    if head is None or tail is None:
        raise ValueError("no body that has rows and nothing else")
    start, end = head.end(), tail.start()
    while start < end:
        least = start + CHUNK_BYTES
        seam = _SEAM.search(body, least, least + REACH_BYTES) if least < end else None
        if seam is not None and seam.end() < end:
            stop, resume = seam.start() + 1, seam.end()
        elif end <= least + REACH_BYTES:
            stop = resume = end
        else:
            raise ValueError("no end of a row within reach")
        rows = body[start:stop]
        _VALUES.decode(b"[" + rows + b"]")
        yield b'{"instances":[' + rows + b"]}"
        start = resume
