"""Numbers that grow: of one version, and of one model. Plain lists, since each request pays."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any, TypeVar

from service.core.environments import BuildOutcome
from service.core.events import PromotionOutcome
from service.core.protocols import WireProtocol
from service.telemetry.metrics import families
from service.telemetry.metrics.outcomes import CODES_OF_FAULTS, NOT_OK, REFUSALS

C = TypeVar("C")
PROBATION = "probation"
"""Why versions are rolled back: they failed too often while they were watched."""
STEP_SECONDS = tuple(sorted({*families.SECONDS, 0.075, 0.75, 7.5}))
"""The bounds of a request's steps: ours, and what prometheus-client has besides from 5 ms on."""
REQUESTS = (0.0, 1.0, 2.5, 5.0, 7.5, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""The bounds of numbers of requests: from 1 to 10 they are prometheus-client's."""


class Histogram:
    """How many values were up to each bound and over the one before; the last has the rest."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: "Histogram") -> None:
        """Count what another one of the same bounds has."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def copy(self) -> "Histogram":
        """Return what it is now."""
        copied = Histogram.__new__(Histogram)
        copied.bounds, copied.counts, copied.sum = self.bounds, self.counts.copy(), self.sum
        return copied


class RequestSteps:
    """How long each step of one model's answered requests took."""

    __slots__ = ("decode", "encode", "predict")

    def __init__(self) -> None:
        self.decode = Histogram(STEP_SECONDS)
        self.predict = Histogram(STEP_SECONDS)
        """All but the other two, which the server process does not know of every request."""
        self.encode = Histogram(STEP_SECONDS)

    def copy(self) -> "RequestSteps":
        """Return what it is now."""
        return _copied(self, RequestSteps.__new__(RequestSteps), self.__slots__)


class RequestSums:
    """What one version's requests took together, and how many others each found waiting."""

    __slots__ = ("decoded_s", "encoded_s", "predicted_s", "waited_s", "waiting")

    def __init__(self) -> None:
        self.decoded_s = 0.0
        self.encoded_s = 0.0
        self.waited_s = 0.0
        self.predicted_s = 0.0
        """Of the requests of all batches, each as long as its batch."""
        self.waiting = Histogram(REQUESTS)

    def copy(self) -> "RequestSums":
        """Return what it is now."""
        return _copied(self, RequestSums.__new__(RequestSums), self.__slots__)


class VersionCounts:
    """What was counted of one version of a model, under its number."""

    __slots__ = (
        "batch_rows",
        "batched_requests",
        "durations",
        "engine_fallbacks",
        "engine_faults",
        "errors",
        "gone_since_s",
        "loads",
        "lost",
        "not_replaced",
        "outcomes",
        "over_limit",
        "predict",
        "queue",
        "rows",
        "shed",
        "sums",
    )

    def __init__(self) -> None:
        self.rows = 0
        self.durations = [Histogram(families.SECONDS) for _ in WireProtocol]
        """Of requests that were answered, by protocol; how many one has is how many those are."""
        self.batched_requests = 0
        self.queue = Histogram(families.SECONDS)
        self.predict = Histogram(families.SECONDS)
        self.batch_rows = Histogram(families.ROWS)
        # From 0 on: an increase is not seen of what is first seen at 1.
        self.outcomes = [Counter(dict.fromkeys(NOT_OK, 0)) for _ in WireProtocol]
        self.errors: Counter[str] = Counter(dict.fromkeys(CODES_OF_FAULTS, 0))
        self.shed: Counter[str] = Counter(dict.fromkeys(REFUSALS, 0))
        self.engine_faults: Counter[str] = Counter()
        self.engine_fallbacks: Counter[str] = Counter()
        self.loads = Histogram(families.LONG_SECONDS)
        self.lost = 0
        self.not_replaced = 0
        self.over_limit = 0
        self.sums = RequestSums()
        """Counted where other servers' names are shown."""
        self.gone_since_s: float | None = None
        """Since when nothing of the version is left; None while something is."""

    def was_asked_by(self, protocol: WireProtocol) -> bool:
        """Tell whether any request came by a protocol."""
        return any(self.durations[protocol].counts) or any(self.outcomes[protocol].values())

    @property
    def duration(self) -> Histogram:
        """Return the durations of all protocols together."""
        together = Histogram(families.SECONDS)
        for one in self.durations:
            together.add(one)
        return together

    @property
    def not_ok(self) -> Counter[str]:
        """Return the outcomes of all protocols together."""
        return sum(self.outcomes, Counter())

    def copy(self) -> "VersionCounts":
        """Return what it is now."""
        copied = _copied(self, VersionCounts.__new__(VersionCounts), self.__slots__)
        copied.durations = [one.copy() for one in self.durations]
        copied.outcomes = [one.copy() for one in self.outcomes]
        return copied


_new_long = partial(Histogram, families.LONG_SECONDS)


class ModelCounts:
    """What was counted of one model, under its name in this service, and of its versions."""

    def __init__(self) -> None:
        self.versions: dict[str, VersionCounts] = {}
        self.begun: Counter[str] = Counter()
        outcomes = [str(outcome) for outcome in PromotionOutcome]
        outcomes.remove(PromotionOutcome.UNDER_WAY)
        self.ended: Counter[str] = Counter(dict.fromkeys(outcomes, 0))
        self.rollbacks: Counter[str] = Counter({PROBATION: 0})
        self.steps: dict[str, Histogram] = defaultdict(_new_long)
        self.gates: dict[tuple[str, str], Histogram] = defaultdict(_new_long)
        self.swaps = 0
        self.request_steps = RequestSteps()
        """Of versions that are gone, too. Counted where other servers' names are shown."""
        self.environments: Counter[str] = Counter({str(outcome): 0 for outcome in BuildOutcome})
        self.builds = _new_long()
        self.gone_since_s: float | None = None
        """Since when the service has no such model; None while it has."""

    @property
    def protocols(self) -> list[WireProtocol]:
        """Return those that its versions were asked by so far, and the native one in any case."""
        return [
            protocol
            for protocol in WireProtocol
            if protocol is WireProtocol.NATIVE
            or any(counted.was_asked_by(protocol) for counted in self.versions.values())
        ]

    def copy(self) -> "ModelCounts":
        """Return what it is now."""
        copied = _copied(self, ModelCounts.__new__(ModelCounts), tuple(vars(self)))
        kept: tuple[dict[Any, Any], ...] = (copied.versions, copied.steps, copied.gates)
        for copies in kept:
            for key, counted in copies.items():
                copies[key] = counted.copy()
        return copied


def _copied(counts: C, copied: C, names: Iterable[str]) -> C:
    """Copy what is counted under these names. `deepcopy` takes ten times as long."""
    for name in names:
        value = getattr(counts, name)
        setattr(copied, name, value.copy() if hasattr(value, "copy") else value)
    return copied
