"""The past of charts: seldom while nobody looks, and it never ends."""

import anyio
import pytest

from service.page.history import History
from service.page.sampler import Sampler
from service.telemetry.metrics.counts import ModelCounts
from tests.support.looked_at import LookedAt

pytestmark = pytest.mark.loops("virtual")


class Counting:
    """Counts of models, of which each look is noted; it raises as often as it is told to."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.faults = 0

    def __call__(self, name: str) -> ModelCounts | None:
        """Return a model's counts."""
        self.looks.append(name)
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a defect")
        return ModelCounts()


async def test_a_model_is_looked_at_each_ten_seconds_and_each_second_while_somebody_looks() -> None:
    """Other models are not looked at more often for that."""
    counting = Counting()
    sampler = Sampler({"a": LookedAt("a"), "b": LookedAt("b")}, counting)
    async with anyio.create_task_group() as running:
        running.start_soon(sampler.run)
        await anyio.sleep(60.5)
        assert counting.looks.count("a") == counting.looks.count("b") == 6
        with sampler.watching("a"), sampler.watching("a"):
            await anyio.sleep(20)
        assert counting.looks.count("a") == 6 + 2 + 20
        assert counting.looks.count("b") == 6 + 2
        assert sampler.history("a").last_coarse is not None
        await anyio.sleep(20)
        assert counting.looks.count("a") == 28 + 2
        running.cancel_scope.cancel()


async def test_a_defect_costs_a_point_and_no_more() -> None:
    """The next one is there."""
    counting = Counting()
    sampler = Sampler({"a": LookedAt("a")}, counting)
    async with anyio.create_task_group() as running:
        running.start_soon(sampler.run)
        counting.faults = 2
        await anyio.sleep(55)
        assert len(counting.looks) == 6
        assert len(sampler.history("a").points()) == 3
        running.cancel_scope.cancel()


async def test_a_model_that_is_gone_is_forgotten() -> None:
    """Its history too, so that none is kept of models that come and go."""
    deployments = {"a": LookedAt("a"), "b": LookedAt("b")}
    sampler = Sampler(deployments, Counting())
    async with anyio.create_task_group() as running:
        running.start_soon(sampler.run)
        await anyio.sleep(25)
        assert sampler.history("b").points()
        with sampler.watching("b"):
            del deployments["b"]
            await anyio.sleep(11)
        assert sampler.history("b").points() == History().points() == []
        assert sampler.history("a").points()
        running.cancel_scope.cancel()
