"""What a run costs by the number of its rows, and from how many on a batch is large enough."""

import math

import msgspec

from service.codecs import catalog
from service.serving.batching.cost_curve import CostCurve

_WEIGHT = 1 / 8
"""The larger this is, the more the newest run counts in an average."""
_FORGET = 1.01
"""The fastest run is taken for this many times longer with each other run: it may be outdated."""
_FEWEST_RUNS = 3
"""A size is known from so many runs on: one may have been cold, or kept waiting for a CPU."""
_FRESH_S = 30.0
"""A run is evidence for this long: another predictor may answer since."""
FIXED_SHARE = 1 / 5
"""The smaller this share of a run that is fixed, the larger a batch is before it is enough."""
WAY_S = 2e-5
"""A run costs its worker this beside the model's time: to read it, and to write the answer."""


class _Runs(msgspec.Struct):
    """Runs of about the same number of rows: how many, the fastest, and when the last one was."""

    count: int
    rows: int
    took_s: float
    at_s: float


class BatchCost:
    """Learns from runs that a part of their time is fixed, and a part is their rows'."""

    def __init__(self) -> None:
        self.typical_s = 0.0
        """What the last runs took, whatever their rows; 0 before there was one."""
        self.enough_rows = math.inf
        """A batch of so many gains little from more of them: those may as well go by themselves."""
        self.rows = CostCurve()
        """What a run takes in its worker by its rows."""
        self.bytes = {codec: CostCurve() for codec in catalog.kinds_of_bodies()}
        """What a body takes that a worker decodes, by its bytes and its codec."""
        self._by_size: dict[int, _Runs] = {}

    def note(self, took_s: float) -> None:
        """Learn from a run, from when it was sent until its answer was read."""
        known_s = self.typical_s or took_s
        self.typical_s = known_s + (took_s - known_s) * _WEIGHT

    def note_rows(self, rows: int, took_s: float, now_s: float) -> None:
        """Learn from a run what it took in its worker, at this time of the event loop.

        Not from outside: there, an answer is read when the server process has time for it, and how
        long it is busy with requests grows with their rows, too.
        """
        self.rows.note(rows, took_s, now_s)
        size = rows.bit_length()
        runs = self._by_size.get(size)
        if runs is None or runs.at_s < now_s - _FRESH_S:
            self._by_size[size] = _Runs(1, rows, took_s, now_s)
        else:
            runs.count += 1
            runs.at_s = now_s
            runs.took_s *= _FORGET
            if took_s <= runs.took_s:
                runs.rows, runs.took_s = rows, took_s
        self.enough_rows = self._enough(now_s)

    def note_body(self, codec: str, body_bytes: int, took_s: float, now_s: float) -> None:
        """Learn from a body of so many bytes, from when it was sent until its answer was read."""
        self.bytes[codec].note(body_bytes, took_s, now_s)

    def _enough(self, now_s: float) -> float:
        """Draw a line through the smallest and the largest runs of late."""
        known = [
            size
            for size, runs in self._by_size.items()
            if runs.count >= _FEWEST_RUNS and runs.at_s >= now_s - _FRESH_S
        ]
        if len(known) < 2:  # noqa: PLR2004 - points make a line
            return math.inf
        small, large = self._by_size[min(known)], self._by_size[max(known)]
        a_row_s = (large.took_s - small.took_s) / (large.rows - small.rows)
        if a_row_s <= 0:
            return math.inf
        fixed_s = WAY_S + max(0.0, small.took_s - a_row_s * small.rows)
        return fixed_s * (1 / FIXED_SHARE - 1) / a_row_s
