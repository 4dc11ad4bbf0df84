"""A service of one model, as far as its metrics ask."""

from service.telemetry.metrics.compat import Compat
from service.telemetry.metrics.exposition import exposition
from service.telemetry.metrics.gauges import ModelGauges, ServingGauges
from service.telemetry.metrics.metrics import Metrics
from tests.support.scrapes import read

SERVING = ServingGauges(
    version="1",
    digest="abc",
    run_id="run",
    python="3.11.9",
    predictor="compiled",
    pending=2,
    unanswered=3,
    workers_wanted=2,
    workers={"idle": 1, "busy": 1},
)


class Service:
    """One model's gauges and a clock, as metrics ask for them.

    `detailed` is whether what other servers' names show is counted.
    """

    def __init__(self, *, detailed: bool = False) -> None:
        self.now_s = 0.0
        self.models = {"m": frozenset({"1"})}
        self.serving: ServingGauges | None = None
        self.metrics = Metrics(self.look, lambda: self.now_s, detailed=detailed)

    def look(self) -> list[ModelGauges]:
        """Return how each model stands."""
        return [
            ModelGauges(
                name=name,
                ready=True,
                promoted="2",
                pinned=None,
                registry_age_s=1.5,
                failed_passes=0,
                serving=self.serving,
                live=live,
            )
            for name, live in self.models.items()
        ]

    async def scrape(self, *compat: Compat) -> dict[str, float]:
        """Return what a scrape shows: each number under its name and labels."""
        body = exposition(await self.metrics.snapshot(), "", compat=compat).body.decode()
        return read(body)
