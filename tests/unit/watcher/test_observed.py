"""What an observer is told of promotions, in order."""

import contextlib

import pytest

from service.core.errors import ChildLostError, FetchFailedError, ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.watcher.probation import ProbationSettings
from tests.support.fake_models import Fate, fail
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher
from tests.support.observers import Recording

ON_PROBATION = ProbationSettings(duration_s=120, max_error_rate=0.01, keep_warm=True)


async def roll_out(watcher: FakeWatcher, number: int, fate: Fate | None = None) -> None:
    """Try a version."""
    if fate:
        watcher.fates.by_number[str(number)] = fate
    with contextlib.suppress(ServiceError):
        await watcher.rollout.run(a_version(number), Trigger.POLL)


@pytest.fixture
def observer() -> Recording:
    """Give an observer that keeps what it is told."""
    return Recording()


async def test_a_promotion_is_told_step_by_step(observer: Recording) -> None:
    """Each event after what it tells of has happened; the swap before the end."""
    async with a_watcher(observer=observer) as watcher:
        await roll_out(watcher, 1)
        await watcher.until(lambda: watcher.store.good == [a_version(1)])
    assert observer.story() == [
        ("promotion_began", "1"),
        ("state_entered", "1", State.FETCHING),
        ("step_ended", "1", "fetch"),
        ("version_stored", "1"),
        ("state_entered", "1", State.LOADING),
        ("gate_ended", "1", "load"),
        ("step_ended", "1", "load"),
        ("state_entered", "1", State.PROVING),
        ("gate_ended", "1", "contract"),
        ("gate_ended", "1", "smoke"),
        ("state_entered", "1", State.READY),
        ("serving_changed", "1", None),
        ("step_ended", "1", "swap"),
        ("promotion_ended", "1", PromotionOutcome.SERVING, "it serves"),
        ("step_ended", "1", "settle"),
    ]


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [
        (Fate(load_error=ChildLostError("lost")), PromotionOutcome.REFUSED),
        (Fate(fetch_error=FetchFailedError("disk full")), PromotionOutcome.FAILED),
    ],
)
async def test_a_candidate_that_fails_is_told_as_failed_and_why(
    observer: Recording, fate: Fate, outcome: PromotionOutcome
) -> None:
    """What serves does not change."""
    async with a_watcher(observer=observer) as watcher:
        await roll_out(watcher, 1)
        await roll_out(watcher, 2, fate)
    (state, (_, version, ended, reason)) = observer.events[-2:]
    assert state[:3] == ("state_entered", a_version(2), State.FAILED)
    assert (version, ended) == (a_version(2), outcome)
    assert reason == state[3] != ""
    assert len(observer.told("serving_changed")) == 1


async def test_the_version_before_is_told_to_its_end(observer: Recording) -> None:
    """Draining, unloaded, and how long that took; what is unloaded leaves nothing that serves."""
    async with a_watcher(observer=observer) as watcher:
        await roll_out(watcher, 1)
        await roll_out(watcher, 2)
        await watcher.until(lambda: watcher.host.opening == [a_version(2)])
        await watcher.pause()
        watcher.rollout.unload()
        await watcher.until(lambda: watcher.host.opening == [])
        await watcher.pause()
    ends = {"serving_changed", State.DRAINING, State.UNLOADED, "drain"}
    told = [event for event in observer.story() if ends & {event[0], *event[2:3]}]
    assert told == [
        ("serving_changed", "1", None),
        ("serving_changed", "2", "1"),
        ("state_entered", "1", State.DRAINING),
        ("state_entered", "1", State.UNLOADED),
        ("step_ended", "2", "drain"),
        ("serving_changed", None, "2"),
        ("state_entered", "2", State.DRAINING),
        ("state_entered", "2", State.UNLOADED),
    ]


async def test_a_rollback_is_told_of_the_version_that_failed(observer: Recording) -> None:
    """Also of one that serves again, and only then fails: by its own promotion."""
    async with a_watcher(probation=ON_PROBATION, observer=observer) as watcher:
        for number in (1, 2, 3):
            await roll_out(watcher, number)
            await watcher.pause(5)
        for failing in ("3", "2"):
            await watcher.pause(5)
            count = 0
            while watcher.serving == failing and count < 100:
                assert watcher.routes.current is not None
                fail(watcher.routes.current, count)
                await watcher.pause(0.105)
                count += 1
                if failing == "2":
                    await watcher.reconciler.run_once()
        ended = [event[1:3] for event in observer.told("promotion_ended")]
        assert ended[3:5] == [
            (a_version(3), PromotionOutcome.ROLLED_BACK),
            (a_version(2), PromotionOutcome.ROLLED_BACK),
        ]
        assert observer.told("serving_changed")[3] == (
            "serving_changed",
            a_version(2),
            a_version(3),
        )
        by_number = {p.version.version: p.outcome for p in watcher.journal.last(3)}
        assert by_number["3"] is by_number["2"] is PromotionOutcome.ROLLED_BACK
