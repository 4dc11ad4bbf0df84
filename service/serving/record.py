"""What is known of how often a version fails, from its last requests."""

from collections import deque

import msgspec

KEPT_REQUESTS = 100_000
"""More than this many requests back, a failure is forgotten."""
_KEPT_FAILURES = 4096
"""With more failures than this among them, fewer requests are known."""


class Known(msgspec.Struct, frozen=True):
    """So many requests, of which so many failed."""

    requests: int
    failures: int


class Record:
    """The places that a version's failures have among its requests, in order.

    Only a failure costs anything; the requests are counted by the version itself.
    """

    def __init__(self) -> None:
        self._places: deque[int] = deque(maxlen=_KEPT_FAILURES)

    def note_failure(self, requests: int) -> None:
        """Note that the last of so many requests failed."""
        self._places.append(requests)

    def known(self, requests: int) -> Known:
        """Return what is known of the last of so many requests."""
        first = max(0, requests - KEPT_REQUESTS)
        if len(self._places) == _KEPT_FAILURES:
            # Those before it are not known any more.
            first = max(first, self._places[0] - 1)
        failures = sum(place > first for place in self._places)
        return Known(requests - first, failures)
