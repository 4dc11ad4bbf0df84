"""How many of many rows to take at a time, so that small requests need not wait for all of them."""

_FIRST_ROWS = 256
_LEAST_S = 0.0005
"""What some rows may take at any rate."""
_CALLS = 1.5
"""As long as so many small calls they may take, too: of less, what any call costs were most."""
_STEP = 2.0
"""The most by which their number grows or shrinks in one step."""
_WEIGHT = 1 / 8
"""Of the newest small call in their average."""


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
