from pathlib import Path

import pytest

from service.core.errors import ChildLostError, ChildRaisedError, ChildTimeoutError
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.serving.model import LoadedModel
from service.serving.proof import Proof
from service.watcher.gates.gate import Finding
from service.watcher.gates.speed import SpeedGate
from service.workers.messages import LoadReply, SpeedReply, Timing
from tests.support.fake_models import BATCHING, INTERFACE, FakePool, Fate
from tests.support.fake_source import a_version


class TimedPool(FakePool):
    """A pool whose timings are given, or what timing raises."""

    def __init__(self, stored: StoredVersion, said: tuple[Timing, ...] | Exception) -> None:
        super().__init__(stored, Fate())
        self._said = said
        self.asked_for: Path | None = None

    async def speed(self, timeout_s: float, incumbent_path: Path | None = None) -> SpeedReply:
        """Return or raise it."""
        del timeout_s
        self.asked_for = incumbent_path
        if isinstance(self._said, Exception):
            raise self._said
        return SpeedReply(self._said)


def a_model(number: int, said: tuple[Timing, ...] | Exception) -> LoadedModel:
    """Return a version that would be timed so."""
    stored = StoredVersion(a_version(number), Path(str(number)), "digest")
    loaded = LoadReply({}, "3", "3.11", 0.25)
    return LoadedModel(stored, INTERFACE, loaded, TimedPool(stored, said), BATCHING)


async def check(model: LoadedModel, incumbent: LoadedModel | None = None) -> Finding:
    """Have a loaded version timed."""
    return await SpeedGate(1).check(model, incumbent)


async def test_figures_stand_beside_those_that_the_incumbent_had() -> None:
    """Where both were timed with as many rows; the incumbent itself is left alone."""
    first = a_model(1, (Timing(1, 18.04, 4), Timing(64, 24.5, 3)))
    found = await check(first)
    assert (found.outcome, found.reason) == (Outcome.PASS, "1 row in 18 ms, 64 rows in 24.5 ms")
    assert found.timings is not None
    assert first.proof is None
    first.open_to_traffic(Proof(timings=found.timings))
    second = a_model(2, (Timing(1, 9.001, 5), Timing(16, 10, 5)))
    found = await check(second, first)
    assert found.reason == "1 row in 9 ms (version 1: 18), 16 rows in 10 ms"
    pool = second.pool
    assert isinstance(pool, TimedPool)
    assert pool.asked_for == first.stored.path


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        ((), Outcome.SKIP, "it raised on every row"),
        (ChildRaisedError("MemoryError"), Outcome.SKIP, "MemoryError"),
        (ChildLostError("lost", ["bang"]), Outcome.REFUSE, "bang"),
        (ChildTimeoutError("no answer"), Outcome.REFUSE, "no answer"),
    ],
)
async def test_only_one_that_dies_or_hangs_is_refused(
    said: tuple[Timing, ...] | Exception, outcome: Outcome, reason: str
) -> None:
    """No version is refused for being slow, or for what it raises here."""
    found = await check(a_model(2, said))
    assert found.outcome is outcome
    assert reason in found.reason


async def test_one_that_is_killed_from_outside_is_not_refused() -> None:
    """That is raised as it is: the rollout tries again."""
    killed = ChildLostError("lost")
    killed.killed_from_outside = True
    with pytest.raises(ChildLostError):
        await check(a_model(2, killed))
