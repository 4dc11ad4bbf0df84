"""Pins, quarantine and the last known good version, within a process and across restarts."""

import pytest

from service.control.desired import ChangeRequest
from service.core.errors import (
    PinUnknownError,
    RefusedError,
    ServiceError,
    SourceUnavailableError,
    UnknownVersionError,
)
from service.core.events import PromotionOutcome, Trigger
from service.core.versions import ModelVersion
from service.registry.finder import VersionFinder
from service.watcher.probation import ProbationSettings
from tests.support.fake_models import Fate, a_failure
from tests.support.fake_source import a_version
from tests.support.fake_watcher import FakeWatcher, a_watcher

ON_PROBATION = ProbationSettings(duration_s=120, max_error_rate=0.01, keep_warm=True)


async def promote(watcher: FakeWatcher, number: int) -> None:
    """Move the pointer, and have the watcher see it."""
    watcher.source.version = a_version(number)
    watcher.source.versions[str(number)] = a_version(number)
    await watcher.reconciler.run_once()


async def serve(watcher: FakeWatcher, number: int) -> None:
    """Promote a version and wait until it serves."""
    await promote(watcher, number)
    await watcher.until(lambda: watcher.serving == str(number))


async def outcome_of(watcher: FakeWatcher, change: ChangeRequest) -> str | ServiceError:
    """Make passes until a change request is settled; return its version or its error."""
    settled: list[str | ServiceError] = []

    async def wait() -> None:
        try:
            settled.append((await change.settled()).version)
        except ServiceError as error:
            settled.append(error)

    watcher.tasks.start_soon(wait)
    while not settled:
        await watcher.reconciler.run_once()
        await watcher.pause()
    watcher.desired.withdraw(change)
    return settled[0]


async def test_a_pin_serves_whatever_the_registry_says() -> None:
    """Until it is taken away; the registry's promotions are seen, and not followed."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        await serve(watcher, 2)
        assert await outcome_of(watcher, watcher.desired.pin("1")) == "1"
        await promote(watcher, 3)
        await watcher.pause(5)
        assert watcher.serving == "1"
        assert watcher.status.registry.promoted == a_version(3)
        assert await outcome_of(watcher, watcher.desired.unpin()) == "3"
        assert watcher.status.pin is None
        assert watcher.journal.last(2)[1].trigger is Trigger.PIN


async def test_a_pin_survives_a_restart() -> None:
    """Also one without a registry: the version is in the store."""
    async with a_watcher() as watcher:
        await serve(watcher, 2)
        watcher.source.versions["1"] = a_version(1)
        await outcome_of(watcher, watcher.desired.pin("1"))
    async with a_watcher(earlier=watcher) as again:
        again.source.outage = "registry down"
        await again.reconciler.run_once()
        await again.until(lambda: again.serving == "1")
        assert again.status.pin == a_version(1)


async def test_a_version_that_is_refused_is_not_pinned() -> None:
    """The one who asked is told, and what served goes on to serve."""
    async with a_watcher() as watcher:
        await serve(watcher, 2)
        watcher.source.versions["1"] = a_version(1)
        watcher.fates.by_number["1"] = Fate(smoke_refusal="it answers nonsense")
        assert isinstance(await outcome_of(watcher, watcher.desired.pin("1")), RefusedError)
        await watcher.reconciler.run_once()
        assert watcher.status.pin is None
        assert watcher.serving == "2"


async def test_a_pin_of_what_nobody_has_is_refused_immediately() -> None:
    """Nothing changes; without a registry it is not known whether there is such a version."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        for number in ("7", "one", "9" * 5000):
            error = await outcome_of(watcher, watcher.desired.pin(number))
            assert isinstance(error, UnknownVersionError)
        watcher.source.outage = "registry down"
        error = await outcome_of(watcher, watcher.desired.pin("7"))
        assert isinstance(error, SourceUnavailableError)
        assert await outcome_of(watcher, watcher.desired.pin("1")) == "1"


async def test_a_change_request_that_fails_fails_alone() -> None:
    """Whatever it raises: promotions and other changes of the same pass go on."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        pin, reload = watcher.desired.pin("boom"), watcher.desired.reload()
        watcher.source.version = a_version(2)
        with pytest.MonkeyPatch.context() as patch:

            async def find(_: VersionFinder, __: str) -> ModelVersion:
                raise ValueError("Exceeds the limit for integer string conversion")

            patch.setattr(VersionFinder, "find", find)
            await watcher.reconciler.run_once()
        with pytest.raises(ServiceError, match="ValueError"):
            await pin.settled()
        watcher.desired.withdraw(pin)
        assert await outcome_of(watcher, reload) == "2"


async def test_with_an_unknown_pin_the_last_known_good_version_serves() -> None:
    """Whatever is promoted or reloaded, until somebody pins or unpins."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
    watcher.remembered.held = "it is unknown whether a version is pinned"
    async with a_watcher(earlier=watcher) as again:
        await promote(again, 2)
        await again.until(lambda: again.serving == "1")
        await again.pause(5)
        assert isinstance(await outcome_of(again, again.desired.reload()), PinUnknownError)
        assert again.serving == "1"
        assert again.status.held
        assert await outcome_of(again, again.desired.unpin()) == "2"
        assert again.status.held == ""


async def test_a_pin_ends_that_a_pin_is_unknown() -> None:
    """It is known then."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
    watcher.remembered.held = "it is unknown whether a version is pinned"
    async with a_watcher(earlier=watcher) as again:
        again.source.versions["2"] = a_version(2)
        assert await outcome_of(again, again.desired.pin("2")) == "2"
        assert again.status.held == ""


async def test_a_pin_that_another_service_has_set_is_taken_up() -> None:
    """And so is its end."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        await serve(watcher, 2)
        await watcher.remembered.remember_pin(a_version(1))
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "1")
        await watcher.remembered.remember_pin(None)
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "2")


async def test_a_refused_version_is_called_refused_after_a_restart() -> None:
    """With the reason, before and after."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.fates.by_number["2"] = Fate(smoke_refusal="it answers nonsense")
        await promote(watcher, 2)
        await watcher.until(lambda: ("2", PromotionOutcome.REFUSED) in watcher.outcomes)
        await watcher.reconciler.run_once()
        assert "nonsense" in watcher.status.refused[a_version(2)]
    async with a_watcher(earlier=watcher) as again:
        await promote(again, 2)
        assert "nonsense" in again.status.refused[a_version(2)]


async def test_a_refusal_survives_a_restart() -> None:
    """No second try, until the pointer moves; the last known good version serves meanwhile."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
        watcher.fates.by_number["2"] = Fate(smoke_refusal="it answers nonsense")
        await promote(watcher, 2)
        await watcher.until(lambda: ("2", PromotionOutcome.REFUSED) in watcher.outcomes)
        await watcher.reconciler.run_once()
    async with a_watcher(earlier=watcher) as again:
        await promote(again, 2)
        await again.until(lambda: again.serving == "1")
        assert again.journal.last(1)[0].trigger is Trigger.FALLBACK
        assert [version.version for version in again.store.fetched] == ["1"]
        assert await outcome_of(again, again.desired.reload()) == "2"


@pytest.mark.parametrize(
    ("fate", "outage"),
    [(Fate(), "registry down"), (Fate(fetch_error=a_failure()), "")],
    ids=["registry", "artifacts"],
)
async def test_the_last_known_good_version_serves_a_start_without(fate: Fate, outage: str) -> None:
    """The registry, or the promoted version's files; once they are there again they count."""
    async with a_watcher() as watcher:
        await serve(watcher, 1)
    async with a_watcher(earlier=watcher) as again:
        again.fates.by_number["2"] = fate
        again.source.outage = outage
        again.source.version = a_version(2)
        for _ in range(30):
            await again.reconciler.run_once()
            await again.pause()
        assert again.serving == "1"
        again.fates.by_number["2"] = Fate()
        again.source.outage = ""
        for _ in range(60):
            await again.reconciler.run_once()
            await again.pause(2)
        assert again.serving == "2"


async def test_going_back_while_the_version_before_is_warm_loads_nothing() -> None:
    """It passed every gate when it was loaded."""
    async with a_watcher(probation=ON_PROBATION) as watcher:
        await serve(watcher, 1)
        for number in (2, 1, 2, 1):
            await serve(watcher, number)
        await watcher.pause(300)
        assert [model.version.version for model in watcher.host.opened] == ["1", "2"]
        assert len(watcher.host.opening) == 1
        assert watcher.serving == "1"
