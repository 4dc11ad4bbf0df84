"""How often compiled engines did not answer, and MLflow's own call did."""

from collections import Counter
from collections.abc import Mapping

FAULTS = "faults"
FALLBACKS = "fallbacks"


class EngineCounts:
    """Counts by the engines' names; what reads them may take them away, and does."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        """Calls in which an engine failed."""
        self.fallbacks: Counter[str] = Counter()
        """Calls that an engine left to MLflow's own, since it could not answer them rightly."""

    def by_kind(self) -> Mapping[str, Counter[str]]:
        """Return both, each under its name."""
        return {FAULTS: self.faults, FALLBACKS: self.fallbacks}
