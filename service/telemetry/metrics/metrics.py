"""All that is counted in this process, by model; what is gone stays for a while."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio
import anyio.lowlevel
import msgspec

from service.telemetry.metrics.calls import CallCounts
from service.telemetry.metrics.counts import REQUESTS, Histogram, ModelCounts, VersionCounts
from service.telemetry.metrics.detailed_observer import DetailedObserver
from service.telemetry.metrics.families import LAG_SECONDS
from service.telemetry.metrics.gauges import ModelGauges
from service.telemetry.metrics.observer import NO_VERSION, MetricsObserver

KEPT_S = 600.0
"""What is gone is shown for so long: each scrape until then gets its last increments."""
_COPIED_IN_A_STEP = 10
"""After so many models the event loop comes round."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything at one moment; nothing changes it, so another thread may read it."""

    models: Mapping[str, ModelCounts]
    gauges: Sequence[ModelGauges]
    loop_lag: Histogram
    calls: CallCounts
    lost_lines: int
    unanswered: Histogram


class Metrics:
    """Counts by model, whichever deployments of its name come and go.

    `look` returns how each model stands now, `lost_lines` how many lines of the log are lost so
    far. `clock` is monotonic. `detailed` is whether that is counted, too, which other servers'
    names show alone. All of it belongs to the event loop's thread.
    """

    def __init__(
        self,
        look: Callable[[], Sequence[ModelGauges]],
        clock: Callable[[], float] = time.monotonic,
        lost_lines: Callable[[], int] = int,
        *,
        detailed: bool = False,
    ) -> None:
        self._look = look
        self._clock = clock
        self._detailed = detailed
        self._models: dict[str, ModelCounts] = {}
        self._lost_lines = lost_lines
        self.loop_lag = Histogram(LAG_SECONDS)
        self.calls = CallCounts()
        self._unanswered = Histogram(REQUESTS)

    def observer(self, name: str) -> MetricsObserver:
        """Return what counts for a deployment of this name, further than the one before it."""
        self._forget(self._look())
        counts = self._models.setdefault(name, ModelCounts())
        counts.gone_since_s = None
        new = partial(self._new, counts)
        if self._detailed:
            return DetailedObserver(counts, new, self._clock, self._unanswered)
        return MetricsObserver(counts, new, self._clock)

    def counts(self, name: str) -> ModelCounts | None:
        """Return what is counted of a model, which goes on; None where nothing is."""
        return self._models.get(name)

    async def snapshot(self) -> Snapshot:
        """Return all of it as it is now, without what is gone for long.

        Each model is of one moment; between some of them the loop goes on.
        """
        gauges = self._look()
        self._forget(gauges)
        copied: dict[str, ModelCounts] = {}
        for name, counts in list(self._models.items()):
            if len(copied) % _COPIED_IN_A_STEP == 0:
                await anyio.lowlevel.checkpoint()
            copied[name] = counts.copy()
        calls = self.calls.copy()
        unanswered = self._unanswered.copy()
        return Snapshot(copied, gauges, self.loop_lag.copy(), calls, self._lost_lines(), unanswered)

    def _new(self, counts: ModelCounts, version: str) -> VersionCounts:
        """Begin to count a version; now and then, so that also without scrapes little is kept."""
        self._forget(self._look())
        new = counts.versions[version] = VersionCounts()
        return new

    def _forget(self, gauges: Sequence[ModelGauges]) -> None:
        """Drop what is gone for longer than KEPT_S."""
        now_s = self._clock()
        live = {one.name: one.live | {NO_VERSION} for one in gauges}
        for name, counts in list(self._models.items()):
            counts.gone_since_s = _gone_since(counts.gone_since_s, now_s, is_live=name in live)
            if _is_old(counts.gone_since_s, now_s):
                del self._models[name]
                continue
            there = live.get(name, frozenset())
            for version, counted in list(counts.versions.items()):
                counted.gone_since_s = _gone_since(
                    counted.gone_since_s, now_s, is_live=version in there
                )
                if _is_old(counted.gone_since_s, now_s):
                    del counts.versions[version]


def _gone_since(since_s: float | None, now_s: float, *, is_live: bool) -> float | None:
    if is_live:
        return None
    return now_s if since_s is None else since_s


def _is_old(since_s: float | None, now_s: float) -> bool:
    return since_s is not None and now_s - since_s > KEPT_S
