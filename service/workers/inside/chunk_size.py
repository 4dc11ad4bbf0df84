"""How many of many rows to take at a time, so that small requests need not wait for all of them."""

_FIRST_ROWS = 256
"""The first chunk of a body has so many rows."""
_LEAST_S = 0.0005
"""A chunk may take this long in any case."""
_CALLS = 1.5
"""A chunk may take as long as so many small calls.

With less, most of its time would be what any call costs.
"""
_STEP = 2.0
"""A chunk is at most this many times larger or smaller than the one before."""
_WEIGHT = 1 / 8
"""The larger this is, the more the newest small call counts in their average."""


class ChunkSize:
    """Learns how many rows take about as long as some small calls."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS
        """How many to take next."""
        self._call_s: float | None = None
        """None until the first small call: a number is no worse than another until then."""

    def note_call(self, took_s: float) -> None:
        """Learn from a small call what it took."""
        known_s = took_s if self._call_s is None else self._call_s
        self._call_s = known_s + (took_s - known_s) * _WEIGHT

    def note_rows(self, rows: int, took_s: float) -> None:
        """Learn what so many rows took."""
        if self._call_s is not None and took_s > 0:
            wanted_s = max(_LEAST_S, _CALLS * self._call_s)
            factor = min(_STEP, max(1 / _STEP, wanted_s / took_s))
            self.rows = max(1, round(rows * factor))
