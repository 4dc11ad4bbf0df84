"""The report on every engine for a model: verified or not, why, and how fast."""

import msgspec

from service.core.text import Sentence

PYFUNC = "pyfunc"
VERIFIED, REFUSED, SKIPPED = "admitted", "refused", "skipped"


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of one engine; `ms` is the time of one call by its rows."""

    name: Sentence
    outcome: Sentence
    reason: Sentence
    ms: dict[int, float] = {}


class Report(msgspec.Struct, frozen=True):
    """All of them; `best` is the fastest verified one by rows.

    `steps` names what stands before an estimator, of those that were tried; '' where none is
    right. Compiled predictors were compared on `probe_rows` rows, within `rtol`. `first` is whether
    only what needs no long conversion was tried, and the rest is still to come.
    """

    predictors: tuple[Outcome, ...]
    best: dict[int, str]
    steps: str
    steps_tried: tuple[Outcome, ...]
    probe_rows: int
    rtol: float
    threads: int
    took_s: float
    first: bool = False

    @property
    def is_pyfunc_alone(self) -> bool:
        """Whether nothing was found that is faster."""
        return set(self.best.values()) <= {PYFUNC}
