"""Answer each batch by the predictor that was found to be the fastest for its size."""

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from service.contracts.contract import Call, Predictions
from service.predictors.engines.engine import BeyondError
from service.predictors.predictor import Predictor

_FAULTS_ALLOWED = 3


class TunedPredictor:
    """Several predictors of one model; `fallback` is always right, and answers where one fails.

    `best` names a predictor for each number of rows that was measured; a batch takes the nearest
    one on a scale of ratios. A fault is counted in `new_faults`, too, from which others take it.
    """

    name = "tuned"

    def __init__(
        self,
        fallback: Predictor,
        others: Mapping[str, Predictor],
        best: Mapping[int, str],
        new_faults: Counter[str] | None = None,
    ) -> None:
        self._fallback = fallback
        sizes = sorted(best)
        known = {**others, fallback.name: fallback}
        self._bounds = [math.sqrt(a * b) for a, b in pairwise(sizes)]
        self._chosen = [known[best[size]] for size in sizes] or [fallback]
        self.faults: Counter[str] = Counter()
        """How often each predictor failed where the fallback was asked instead."""
        self._new_faults: Counter[str] = Counter() if new_faults is None else new_faults
        self.left: Counter[str] = Counter()
        """How often each left rows to the fallback, which it can't answer rightly."""

    def predict(self, call: Call) -> Predictions:
        """Answer every row; see Predictor. An error is the fallback's own."""
        if call.lacks_columns:
            # Compiled predictors were compared on rows that have all columns.
            return self._fallback.predict(call)
        at = bisect_left(self._bounds, call.rows)
        chosen = self._chosen[at]
        if chosen is not self._fallback:
            try:
                return chosen.predict(call)
            except BeyondError:
                self.left[chosen.name] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the model itself answers
                answer = self._fallback.predict(call)
                # Where the model raises, too, it was right to.
                self._note(chosen, error)
                return answer
        return self._fallback.predict(call)

    def _note(self, chosen: Predictor, error: Exception) -> None:
        """Count a fault, and use a predictor that keeps failing no more."""
        self.faults[chosen.name] += 1
        self._new_faults[chosen.name] += 1
        count = self.faults[chosen.name]
        gone = count >= _FAULTS_ALLOWED
        if gone:
            self._chosen = [self._fallback if one is chosen else one for one in self._chosen]
        sys.stderr.write(
            f"predictor {chosen.name!r} failed ({count}): {type(error).__name__}: {error}; "
            f"{self._fallback.name} answers{' from now on' if gone else ''}\n"
        )
        sys.stderr.flush()
