import asyncio
from typing import Any

import anyio
import pytest

from service.core.errors import (
    ChildLostError,
    FetchFailedError,
    NothingPromotedError,
    RefusedError,
    ServiceError,
    SourceUnavailableError,
    SupersededError,
)
from service.core.events import PromotionOutcome, Trigger
from tests.support.fake_models import Fate
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher

SETTLED_S = 5.0
"""More than a rollout of a fake version takes."""
REFUSED = Fate(load_error=ChildLostError("lost"))
FAILING = Fate(fetch_error=FetchFailedError("disk full"))


async def promote(watcher: FakeWatcher, number: int | None) -> None:
    """Move the pointer and make the pass that notices."""
    watcher.source.version = None if number is None else a_version(number)
    await watcher.reconciler.run_once()


async def serve(watcher: FakeWatcher, number: int) -> None:
    """Promote a version and wait until it serves."""
    await promote(watcher, number)
    await watcher.until(lambda: watcher.serving == str(number))
    await watcher.reconciler.run_once()


async def passes(watcher: FakeWatcher, seconds: float) -> None:
    """Make a pass every second, as the loop would."""
    with anyio.move_on_after(seconds):
        while True:
            await anyio.sleep(1)
            await watcher.reconciler.run_once()
    await watcher.reconciler.run_once()
    await anyio.sleep(0.001)


class Reloading:
    """Somebody who waits for a reload."""

    def __init__(self, watcher: FakeWatcher) -> None:
        self.change = watcher.desired.reload()
        self.outcome: Any = None
        watcher.tasks.start_soon(self._wait)

    async def _wait(self) -> None:
        try:
            self.outcome = await self.change.settled()
        except ServiceError as error:
            self.outcome = error


async def test_what_is_promoted_comes_to_serve() -> None:
    """The first promotion is told as found at start, the next as noticed by a poll."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        await serve(watcher, 2)
        assert watcher.outcomes == [
            ("1", PromotionOutcome.SERVING),
            ("2", PromotionOutcome.SERVING),
        ]
        triggers = [promotion.trigger for promotion in watcher.journal.last(2)]
        assert triggers == [Trigger.POLL, Trigger.START]


async def test_an_outage_keeps_what_serves() -> None:
    """For however long, and shows; also where nothing promoted means to unload."""
    async with a_watcher(on_unpromoted="unload") as watcher:
        await serve(watcher, 1)
        watcher.source.outage = "registry down"
        await passes(watcher, 300)
        assert watcher.serving == "1"
        assert watcher.status.registry.error == "registry down"
        watcher.source.outage = ""
        await watcher.reconciler.run_once()
        assert not watcher.status.registry.error
        assert watcher.outcomes == [("1", PromotionOutcome.SERVING)]


async def test_an_outage_at_start_ends_nothing() -> None:
    """The first good look loads."""
    async with a_watcher() as watcher:
        watcher.source.outage = "registry down"
        await passes(watcher, 10)
        assert watcher.outcomes == []
        watcher.source.outage = ""
        await serve(watcher, 1)


async def test_an_outage_does_not_stop_a_rollout_under_way() -> None:
    """What was wanted last is still wanted."""
    async with a_watcher() as watcher:
        await promote(watcher, 1)
        watcher.source.outage = "registry down"
        await passes(watcher, SETTLED_S)
        assert watcher.serving == "1"


async def test_nothing_promoted_keeps_what_serves() -> None:
    """The operator's other choice is tested below."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        await promote(watcher, None)
        await passes(watcher, SETTLED_S)
        assert watcher.serving == "1"
        assert watcher.status.registry.promoted is None


async def test_nothing_promoted_unloads_where_that_is_wanted() -> None:
    """And the next promotion serves again, of the same version too."""
    async with a_watcher(on_unpromoted="unload") as watcher:
        await serve(watcher, 1)
        await promote(watcher, None)
        assert watcher.serving is None
        await serve(watcher, 1)


async def test_a_refusal_is_final_until_the_pointer_moves() -> None:
    """It is not tried again by itself, but when it is promoted anew."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.fates.by_number["2"] = REFUSED
        await promote(watcher, 2)
        await passes(watcher, 300)
        assert watcher.outcomes[1:] == [("2", PromotionOutcome.REFUSED)]
        assert watcher.serving == "1"
        await promote(watcher, 1)
        await promote(watcher, 2)
        await passes(watcher, SETTLED_S)
        assert watcher.outcomes[1:] == [("2", PromotionOutcome.REFUSED)] * 2


async def test_a_reload_lifts_a_refusal() -> None:
    """Somebody may have mended what was wrong around the version."""
    async with a_watcher() as watcher:
        watcher.fates.by_number["1"] = REFUSED
        await promote(watcher, 1)
        await passes(watcher, SETTLED_S)
        watcher.fates.by_number.clear()
        reloading = Reloading(watcher)
        await passes(watcher, SETTLED_S)
        assert reloading.outcome == a_version(1)
        assert watcher.outcomes == [
            ("1", PromotionOutcome.REFUSED),
            ("1", PromotionOutcome.SERVING),
        ]


async def test_a_failure_that_passes_is_retried_with_backoff() -> None:
    """Never given up, less and less often, and served once it works."""
    async with a_watcher() as watcher:
        watcher.fates.by_number["1"] = FAILING
        await promote(watcher, 1)
        await passes(watcher, 600)
        tried = len(watcher.store.fetched)
        assert 12 <= tried <= 20
        await passes(watcher, 600)
        assert 8 <= len(watcher.store.fetched) - tried <= 14
        watcher.fates.by_number.clear()
        await passes(watcher, 90)
        assert watcher.serving == "1"


@pytest.mark.parametrize(
    "error", [OSError("disk"), ZeroDivisionError(), ExceptionGroup("g", [OSError()])]
)
async def test_whatever_a_rollout_raises_ends_that_rollout_alone(error: Exception) -> None:
    """It counts as a failure that passes."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.fates.by_number["2"] = Fate(load_error=error)
        await promote(watcher, 2)
        await passes(watcher, SETTLED_S)
        assert watcher.serving == "1"
        watcher.fates.by_number.clear()
        await passes(watcher, 90)
        assert watcher.serving == "2"


async def test_the_newest_change_wins() -> None:
    """A candidate that is no longer wanted is cancelled, and only then the next one begins."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.fates.by_number["2"] = Fate(load_s=1000)
        await promote(watcher, 2)
        await anyio.sleep(2)
        await promote(watcher, 3)
        await passes(watcher, SETTLED_S + 2)
        assert watcher.outcomes[1:] == [
            ("2", PromotionOutcome.SUPERSEDED),
            ("3", PromotionOutcome.SERVING),
        ]
        assert watcher.serving == "3"
        assert watcher.host.opening == [a_version(3)]


async def test_a_candidate_is_given_up_for_what_serves_already() -> None:
    """A rollback while the new version still loads."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        await promote(watcher, 2)
        await anyio.sleep(1.5)
        await promote(watcher, 1)
        await passes(watcher, SETTLED_S)
        assert watcher.serving == "1"
        assert watcher.host.opening == [a_version(1)]


async def test_a_candidate_that_is_given_up_immediately_never_begins() -> None:
    """Between the decision and the first step of its task."""
    async with a_watcher() as watcher:
        await promote(watcher, 1)
        await promote(watcher, 2)
        await passes(watcher, SETTLED_S)
        assert watcher.serving == "2"
        assert watcher.outcomes[0] == ("1", PromotionOutcome.SUPERSEDED)


async def test_a_reload_of_what_serves_loads_nothing() -> None:
    """It succeeds immediately."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        reloading = Reloading(watcher)
        await watcher.reconciler.run_once()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert reloading.outcome == a_version(1)
        assert reloading.change.loaded is False
        assert watcher.outcomes == [("1", PromotionOutcome.SERVING)]


async def test_a_reload_joins_a_rollout_under_way() -> None:
    """The version is loaded once, and everyone is told."""
    async with a_watcher() as watcher:
        await promote(watcher, 1)
        await anyio.sleep(1)
        reloads = [Reloading(watcher), Reloading(watcher)]
        await passes(watcher, SETTLED_S)
        assert [one.outcome for one in reloads] == [a_version(1)] * 2
        assert all(one.change.loaded for one in reloads)
        assert watcher.outcomes == [("1", PromotionOutcome.SERVING)]


@pytest.mark.parametrize(("fate", "error"), [(REFUSED, RefusedError), (FAILING, FetchFailedError)])
async def test_a_reload_is_told_why_the_version_does_not_serve(
    fate: Fate, error: type[ServiceError]
) -> None:
    """Refused with the verdicts, or failed for now."""
    async with a_watcher() as watcher:
        watcher.source.version = a_version(1)
        watcher.fates.by_number["1"] = fate
        reloading = Reloading(watcher)
        await passes(watcher, SETTLED_S)
        assert type(reloading.outcome) is error


async def test_a_reload_is_told_that_it_was_superseded() -> None:
    """A newer promotion came while its own loaded."""
    async with a_watcher() as watcher:
        watcher.source.version = a_version(1)
        reloading = Reloading(watcher)
        await watcher.reconciler.run_once()
        await promote(watcher, 2)
        await passes(watcher, SETTLED_S)
        assert isinstance(reloading.outcome, SupersededError)


async def test_a_reload_is_told_of_an_outage() -> None:
    """What serves keeps serving."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.source.outage = "registry down"
        reloading = Reloading(watcher)
        await passes(watcher, SETTLED_S)
        assert isinstance(reloading.outcome, SourceUnavailableError)
        assert watcher.serving == "1"


async def test_a_reload_is_told_that_nothing_is_promoted() -> None:
    """There is nothing to wait for."""
    async with a_watcher() as watcher:
        reloading = Reloading(watcher)
        await passes(watcher, SETTLED_S)
        assert isinstance(reloading.outcome, NothingPromotedError)


async def test_a_change_request_that_came_during_a_look_waits_for_the_next() -> None:
    """That look may have seen the registry as it was before the change request."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        late: list[Reloading] = []
        resolve = watcher.source.resolve

        async def ask_meanwhile() -> Any:
            if not late:
                late.append(Reloading(watcher))
                return a_version(1)
            return await resolve()

        watcher.source.resolve = ask_meanwhile  # type: ignore[method-assign]
        watcher.source.version = a_version(2)
        await watcher.reconciler.run_once()
        assert not late[0].change.observed
        await passes(watcher, SETTLED_S)
        assert late[0].outcome == a_version(2)


async def test_a_pinned_version_is_not_asked_for_once_it_serves() -> None:
    """Except by somebody who asks, or after it collapsed."""
    async with a_watcher(uri="models:/m/1") as watcher:
        await serve(watcher, 1)
        asked = watcher.source.asked
        await passes(watcher, 60)
        assert watcher.source.asked == asked
        Reloading(watcher)
        await watcher.reconciler.run_once()
        assert watcher.source.asked == asked + 1


async def test_a_version_that_collapsed_is_loaded_again() -> None:
    """It answers nobody, though it is routed to."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        collapsed = watcher.routes.current
        assert collapsed is not None
        collapsed.close()
        await collapsed.closed.wait()
        await passes(watcher, SETTLED_S)
        assert watcher.routes.current is not collapsed
        assert watcher.serving == "1"
