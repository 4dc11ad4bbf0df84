"""Answer each batch by the predictor that was found to be the fastest for its size."""

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from service.contracts.contract import Call, Predictions
from service.predictors.engine_counts import EngineCounts
from service.predictors.engines.engine import BeyondError
from service.predictors.predictor import Predictor

_FAULTS_ALLOWED = 3


class TunedPredictor:
    """Several predictors of one model; `fallback` is always right, and answers where one fails.

    `best` names a predictor for each number of rows that was measured; a batch takes the nearest
    one on a scale of ratios. What the fallback answers instead of another is counted in `counts`.
    """

    name = "tuned"

    def __init__(
        self,
        fallback: Predictor,
        others: Mapping[str, Predictor],
        best: Mapping[int, str],
        counts: EngineCounts | None = None,
    ) -> None:
        self._fallback = fallback
        sizes = sorted(best)
        known = {**others, fallback.name: fallback}
        self._bounds = [math.sqrt(a * b) for a, b in pairwise(sizes)]
        self._chosen = [known[best[size]] for size in sizes] or [fallback]
        self.faults: Counter[str] = Counter()
        """How often each predictor failed where the fallback was asked instead."""
        self._counts = EngineCounts() if counts is None else counts

    def predict(self, call: Call) -> Predictions:
        """Answer every row; see Predictor. An error is the fallback's own."""
        at = bisect_left(self._bounds, call.rows)
        chosen = self._chosen[at]
        if chosen is not self._fallback:
            try:
                # Compiled predictors were compared on rows that have all columns.
                if not call.lacks_columns:
                    return chosen.predict(call)
                self._counts.fallbacks[chosen.name] += 1
            except BeyondError:
                self._counts.fallbacks[chosen.name] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the model itself answers
                answer = self._fallback.predict(call)
                # Where the model raises, too, it was right to.
                self._note(chosen, error)
                return answer
        return self._fallback.predict(call)

    def _note(self, chosen: Predictor, error: Exception) -> None:
        """Count a fault, and use a predictor that keeps failing no more."""
        self.faults[chosen.name] += 1
        self._counts.faults[chosen.name] += 1
        count = self.faults[chosen.name]
        gone = count >= _FAULTS_ALLOWED
        if gone:
            self._chosen = [self._fallback if one is chosen else one for one in self._chosen]
        sys.stderr.write(
            # Its text may quote the rows, which no log gets.
            f"predictor {chosen.name!r} failed ({count}): {type(error).__name__}; "
            f"{self._fallback.name} answers{' from now on' if gone else ''}\n"
        )
        sys.stderr.flush()
