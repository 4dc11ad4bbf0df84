"""How much a body may become, in proportion to its size: rows, decoded bytes, its answer."""

from functools import cached_property

import msgspec

from service.core.errors import AnswerTooLargeError, BodyTooLargeError

CHUNK_BYTES = 131_072
"""About so much of a body is sent or read at a time, which takes half a millisecond."""
FREE_BYTES = 4_000_000
"""A body may always become so much, and beyond it ..."""
_GROWTH = 64
"""... so many times its size: lz4 and zstd reach that with columns that repeat themselves."""
_LEAST_ROWS = 100_000
"""A body may always have so many rows."""
_BYTES_A_ROW = 256
"""Of the decoded limit, which is 8 times MAX_BODY_BYTES: one row for 32 bytes of the latter."""
_MOST_DECODED_BYTES = 2**40
"""More than any body's size allows."""
_ANSWER_SHARE = 4
"""An answer may always have this part of the decoded limit: a text may become a wide embedding."""


class Bounds(msgspec.Struct, frozen=True, dict=True):
    """What a body of this size may become under a limit for all that is decoded."""

    sent_bytes: int
    max_decoded_bytes: int

    @classmethod
    def of_size_alone(cls, body: bytes) -> "Bounds":
        """Return the bounds of a body where nothing but its size is one."""
        return cls(len(body), _MOST_DECODED_BYTES)

    @cached_property
    def rows(self) -> int:
        """The most rows."""
        return max(_LEAST_ROWS, self.max_decoded_bytes // _BYTES_A_ROW)

    @cached_property
    def decoded_bytes(self) -> int:
        """The most bytes once it is decoded."""
        return min(self.max_decoded_bytes, max(FREE_BYTES, _GROWTH * self.sent_bytes))

    @property
    def answer_bytes(self) -> int:
        """The most bytes of its answer."""
        grown = min(self.max_decoded_bytes, _GROWTH * self.sent_bytes)
        return max(FREE_BYTES, self.max_decoded_bytes // _ANSWER_SHARE, grown)

    def check_rows(self, rows: int, or_what: str = "") -> None:
        """Raise BodyTooLargeError for too many rows; `or_what` says what else was counted."""
        if rows > self.rows:
            raise BodyTooLargeError(
                f"the body has {rows} rows{or_what}, and {self.rows} are taken (one for each 32 "
                "bytes of MAX_BODY_BYTES): send fewer at a time"
            )

    def check_answer(self, least_bytes: int) -> None:
        """Raise AnswerTooLargeError before an answer is encoded that would be too large."""
        if least_bytes > self.answer_bytes:
            raise AnswerTooLargeError(
                f"the answer would have over {least_bytes} bytes, and {self.answer_bytes} are given"
                f" for a body of {self.sent_bytes}: send fewer rows at a time"
            )
