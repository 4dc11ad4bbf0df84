"""What counts against a version on probation, and what becomes of one that fails it."""

import asyncio
import gc
import weakref
from collections.abc import Callable

import anyio
import pytest

from service.core.errors import (
    ChildLostError,
    ModelFailedError,
    NonFinitePredictionError,
    RequestTimeoutError,
    ServiceError,
)
from service.core.events import PromotionOutcome, Trigger
from service.serving.model import LoadedModel
from service.watcher.probation import ProbationSettings
from tests.support.fake_models import FakePool, fail
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher

ON_PROBATION = ProbationSettings(duration_s=120, max_error_rate=0.01, keep_warm=True)
COLD = ProbationSettings(duration_s=120, max_error_rate=0.01, keep_warm=False)
FAULTS: list[Callable[[], ServiceError]] = [
    lambda: ModelFailedError("it raised"),
    lambda: NonFinitePredictionError(0),
    lambda: RequestTimeoutError("too long"),
    lambda: ChildLostError("lost"),
]


async def serve(watcher: FakeWatcher, number: int) -> LoadedModel:
    """Promote a version, wait until it serves, and return it."""
    watcher.source.version = a_version(number)
    watcher.source.versions[str(number)] = a_version(number)
    await watcher.reconciler.run_once()
    await watcher.until(lambda: watcher.serving == str(number))
    await watcher.pause(0.01)
    assert watcher.routes.current is not None
    return watcher.routes.current


def pool_of(model: LoadedModel) -> FakePool:
    """Return a version's workers."""
    assert isinstance(model.pool, FakePool)
    return model.pool


async def fail_all(
    watcher: FakeWatcher,
    model: LoadedModel,
    error: Callable[[], ServiceError] = FAULTS[0],
    seconds: float = 3.0,
) -> None:
    """Have a version fail ten requests a second, for so long as it serves."""
    for number in range(int(seconds * 10)):
        if watcher.routes.current is not model:
            return
        fail(model, number, error())
        await watcher.pause(0.105)


def outcomes_of(watcher: FakeWatcher, number: int) -> list[PromotionOutcome]:
    """Return what became of a version's promotions."""
    return [outcome for version, outcome in watcher.outcomes if version == str(number)]


@pytest.mark.parametrize("error", FAULTS)
async def test_a_version_that_fails_everything_is_rolled_back_within_a_second_of_its_fifth_request(
    error: Callable[[], ServiceError],
) -> None:
    """Each failure is asked of the version before, which answers it, takes over, and stays good."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        good = await serve(watcher, 1)
        good.answered = 1_000
        worse = await serve(watcher, 2)
        with anyio.fail_after(0.5 + 1.0):
            await fail_all(watcher, worse, error)
        assert watcher.routes.current is good
        assert watcher.outcomes[-1] == ("2", PromotionOutcome.ROLLED_BACK)
        assert len(pool_of(good).replayed) >= 2
        await watcher.reconciler.run_once()
        await watcher.pause(300)
        assert watcher.serving == "1"
        assert watcher.store.good[-1] == a_version(1)
        assert [model.version.version for model in watcher.host.opened] == ["1", "2"]
        assert len(watcher.host.opening) == 1


@pytest.mark.parametrize(
    ("error", "non_finite"),
    [
        (ModelFailedError("it raised as well"), []),
        (ChildLostError("it killed this one as well"), []),
        (None, [0]),
    ],
    ids=["raises", "kills", "not finite"],
)
async def test_what_the_version_before_fails_as_well_counts_for_neither(
    error: ServiceError | None, non_finite: list[int]
) -> None:
    """However much of it there is; the version passes."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        first = await serve(watcher, 1)
        pool_of(first).replay_error, pool_of(first).replay_non_finite = error, non_finite
        second = await serve(watcher, 2)
        await fail_all(watcher, second)
        assert watcher.routes.current is second
        assert second.trial is not None
        told = second.trial.told()
        assert (told["state"], told["failures"], told["evidence"]) == ("under way", 0, 1.0)
        assert told["excused"] == len(pool_of(first).replayed) > 20
        await watcher.until(first.closed.is_set, limit_s=200)
        assert watcher.serving == "2"
        await watcher.until(lambda: watcher.store.good[-1] == a_version(2))
        assert second.trial.told()["state"] == "passed"


async def test_a_body_that_the_version_before_cannot_take_counts_for_neither() -> None:
    """A rollback would not answer it."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        await serve(watcher, 1)
        second = await serve(watcher, 2)
        first_contract = watcher.host.opened[0].contract
        assert first_contract is second.contract
        for number in range(30):
            fail(second, 10**400 + number)
            await watcher.pause(0.1)
        assert watcher.routes.current is second
        assert pool_of(watcher.host.opened[0]).replayed == []
        assert second.trial is not None
        assert second.trial.told()["excused"] > 10


async def test_a_worker_that_somebody_killed_says_nothing_of_the_version() -> None:
    """It is known a moment after the loss; one more worker, apart, answers the body."""

    def killed() -> ServiceError:
        error = ChildLostError("lost")
        error.ended = asyncio.Event()
        error.ended.set()
        error.killed_from_outside = True
        return error

    async with a_watcher(probation=ON_PROBATION) as watcher:
        await serve(watcher, 1)
        second = await serve(watcher, 2)
        await fail_all(watcher, second, killed)
        assert watcher.routes.current is second
        assert pool_of(second).loaded_apart > 20
        # One that has that killed, too, by the kernel as a rule, is to blame.
        pool_of(second).replay_error = killed()
        await fail_all(watcher, second, killed)
        assert watcher.serving == "1"


async def test_a_version_before_that_has_no_worker_free_is_no_witness() -> None:
    """What can't be checked neither counts nor keeps the next failure from being checked."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        first = await serve(watcher, 1)
        second = await serve(watcher, 2)
        pool_of(first).is_free = False
        await fail_all(watcher, second, seconds=10)
        assert watcher.routes.current is second
        pool_of(first).is_free = True
        await fail_all(watcher, second, seconds=10)
        assert watcher.routes.current is first


async def test_one_failure_is_weighed_at_a_time_and_those_beside_it_count_no_more_than_it() -> None:
    """Of a burst of hundreds only one body is kept, and asked of the version before."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        first = await serve(watcher, 1)
        first.answered = 1_000
        second = await serve(watcher, 2)
        for number in range(300):
            fail(second, number)
            second.answered += 1
        await watcher.pause(0.09)
        assert len(pool_of(first).replayed) == 1
        assert second.trial is not None
        told = second.trial.told()
        assert (told["requests"], told["failures"]) == (1, 1)
        assert told["before"] == {"requests": 1_000, "failures": 0}
        assert second.failed == 300


async def test_failures_below_the_floor_roll_nothing_back() -> None:
    """However surely they are more than before."""
    settings = ProbationSettings(duration_s=120, max_error_rate=0.2, keep_warm=True)
    async with a_watcher(probation=settings) as watcher:
        first = await serve(watcher, 1)
        first.answered = 10_000
        second = await serve(watcher, 2)
        for number in range(200):
            second.answered += 9
            fail(second, number)
            await watcher.pause(0.1)
        assert watcher.routes.current is second
        assert second.trial is not None
        told = second.trial.told()
        assert told["evidence"] > told["threshold"]


async def test_without_a_warm_version_the_last_known_good_one_is_loaded_again() -> None:
    """Failures count as they are then, and the version is refused."""
    async with a_watcher(probation=COLD) as watcher:
        await serve(watcher, 1)
        worse = await serve(watcher, 2)
        await watcher.pause(5)
        await fail_all(watcher, worse, seconds=1)
        assert outcomes_of(watcher, 2) == [PromotionOutcome.ROLLED_BACK]
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "1")
        assert watcher.journal.last(1)[0].trigger is Trigger.FALLBACK
        await watcher.pause(300)
        assert watcher.serving == "1"
        assert len(watcher.host.opening) == 1


async def test_the_first_version_has_nothing_to_be_rolled_back_to() -> None:
    """What serves badly is better than nothing; it does not pass, and /model/info says why."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        only = await serve(watcher, 1)
        await fail_all(watcher, only)
        await watcher.reconciler.run_once()
        await watcher.pause(300)
        assert watcher.routes.current is only
        assert outcomes_of(watcher, 1) == [PromotionOutcome.SERVING]
        assert only.trial is not None
        told = only.trial.told()
        assert told["state"] == "failed"
        assert "failed" in told["reason"]


async def test_a_version_that_serves_again_after_its_successor_failed_has_not_passed_for_that() -> (
    None
):
    """Its probation goes on: until that is over, the last known good version is the one before."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        await serve(watcher, 1)
        second = await serve(watcher, 2)
        await watcher.pause(60)
        third = await serve(watcher, 3)
        await watcher.pause(5)
        await fail_all(watcher, third)
        assert watcher.routes.current is second
        await watcher.pause(30)
        assert watcher.store.good == [a_version(1)]
        assert second.trial is not None
        assert second.trial.told()["state"] == "under way"
        await watcher.until(lambda: watcher.store.good[-1] == a_version(2), limit_s=90)


async def test_a_version_that_serves_again_may_still_fail_its_probation() -> None:
    """Then the last known good version is loaded, since none is warm behind it."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        await serve(watcher, 1)
        second = await serve(watcher, 2)
        third = await serve(watcher, 3)
        await watcher.pause(5)
        await fail_all(watcher, third)
        assert watcher.routes.current is second
        watcher.source.version = a_version(3)
        await watcher.pause(5)
        await fail_all(watcher, second)
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "1")
        await watcher.pause(300)
        assert watcher.store.good == [a_version(1)]
        assert watcher.serving == "1"


async def test_a_version_that_was_refused_is_not_kept_warm_to_go_back_to() -> None:
    """The last known good version that took its place fails, and nothing is rolled back."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        first = await serve(watcher, 1)
        worse = await serve(watcher, 2)
        first.close()
        await first.closed.wait()
        await watcher.pause(5)
        await fail_all(watcher, worse, seconds=1)
        assert outcomes_of(watcher, 2) == [PromotionOutcome.ROLLED_BACK]
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "1" and watcher.routes.current is not first)
        assert watcher.routes.current is not None
        await fail_all(watcher, watcher.routes.current)
        assert watcher.serving == "1"


async def test_a_version_that_is_over_is_kept_by_none_of_those_after_it() -> None:
    """Each version knows its trial; a trial that is over knows no version before it any more."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        first = await serve(watcher, 1)
        await serve(watcher, 2)
        await watcher.until(first.closed.is_set, limit_s=200)
        await watcher.pause(1)
        watcher.host.opened.remove(first)
        gone = weakref.ref(first)
        del first
        gc.collect()
        assert gone() is None
