"""Keeps the history of every model's charts: seldom while nobody looks, each second otherwise."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import anyio
import anyio.lowlevel
import structlog

from service.deployment import Deployment
from service.page.history import Counted, History
from service.telemetry.metrics.counts import ModelCounts

FINE_S: Final = 1.0
"""Seconds between two points of a model that somebody looks at."""
COARSE_EVERY: Final = 10
"""Seconds between two points of a model."""
_IN_A_STEP = 10
"""The event loop comes round after each group of this many models."""

_log = structlog.get_logger("page")


class Sampler:
    """Samples all models of a service; `run` does it until it is cancelled.

    `counts` returns what is counted of a model by its name. What requests do is not touched: the
    numbers are those of the metrics.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        counts: Callable[[str], ModelCounts | None],
    ) -> None:
        self._deployments = deployments
        self._counts = counts
        self._histories: dict[str, History] = {}
        self._watched: Counter[str] = Counter()

    def history(self, name: str) -> History:
        """Return a model's history, an empty one where there is none yet."""
        return self._histories.get(name) or History()

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Have a model sampled each second meanwhile."""
        self._watched[name] += 1
        try:
            yield
        finally:
            self._watched[name] -= 1
            if not self._watched[name]:
                del self._watched[name]
                if name in self._histories:
                    self._histories[name].rest()

    async def run(self) -> None:
        """Sample until cancelled. A defect of ours costs a point, and neither the next nor more."""
        seconds = 0
        while True:
            await anyio.sleep(FINE_S)
            try:
                if seconds % COARSE_EVERY == 0:
                    await self._sample(list(self._deployments), fine=False)
                if self._watched:
                    await self._sample(list(self._watched), fine=True)
            except Exception:  # noqa: BLE001 - a crash barrier: the service outlives its charts
                _log.exception("no point for the page's charts")
            seconds += 1

    async def _sample(self, names: list[str], *, fine: bool) -> None:
        for index, name in enumerate(names):
            if index % _IN_A_STEP == _IN_A_STEP - 1:
                await anyio.lowlevel.checkpoint()
            deployment = self._deployments.get(name)
            if deployment is None:
                self._histories.pop(name, None)
                continue
            model = deployment.routes.current
            counted = Counted.of(self._counts(name))
            waiting = 0 if model is None else model.batcher.waiting
            self._histories.setdefault(name, History()).note(counted, waiting, fine=fine)
        if not fine:
            for gone in self._histories.keys() - set(self._deployments):
                del self._histories[gone]
