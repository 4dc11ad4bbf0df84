"""A promotion's step in which the version gets the environment that it is to run in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from service.core.environments import SHARED, BuildOutcome, EnvironmentSettings
from service.core.errors import EnvironmentNotBuiltError, EnvironmentRefusedError, RefusedError
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Outcome
from service.core.versions import StoredVersion
from service.watcher.building import BuildStep
from service.watcher.gates.chain import GateChain
from service.watcher.gates.gate import Finding
from tests.support.fake_environments import OWN, REPORT, BuildFate, FakeEnvironments
from tests.support.fake_models import Fate
from tests.support.fake_source import a_version
from tests.support.fake_watcher import GATES, FakeWatcher, a_watcher
from tests.support.observers import Recording

AUTO = EnvironmentSettings(mode="auto")
UNREACHABLE = "uv could not reach the index: connection refused"


class RefusesFiles:
    """A gate of the files that refuses, as the one does that wants them signed."""

    name = "signature"

    async def check(self, stored: StoredVersion) -> Finding:
        """Refuse."""
        del stored
        return Finding(Outcome.REFUSE, "it is not signed")


@asynccontextmanager
async def building(
    wanted: EnvironmentSettings = OWN,
    gates: GateChain = GATES,
    observer: Recording | None = None,
    **fates: BuildFate,
) -> AsyncIterator[tuple[FakeWatcher, FakeEnvironments]]:
    """Make a watcher whose versions have environments with these fates: `v1`, `v2`."""
    environments = FakeEnvironments()
    environments.by_number = {name.removeprefix("v"): fate for name, fate in fates.items()}
    step = BuildStep(environments, wanted)
    async with a_watcher(gates=gates, build=step, observer=observer or Recording()) as watcher:
        yield watcher, environments


async def promote(watcher: FakeWatcher, number: int) -> None:
    """Have the registry promote a version, and the watcher look."""
    watcher.source.version = a_version(number)
    await watcher.reconciler.run_once()


async def test_a_version_runs_in_the_environment_that_was_built_for_it() -> None:
    """Between fetch and load; the journal says how it came to be there, and how long it took."""
    observer = Recording()
    async with building(observer=observer) as (watcher, environments):
        await watcher.rollout.run(a_version(1), Trigger.POLL)
        (environment,) = watcher.host.environments
        assert environment.key == "key-1"
        (promotion,) = watcher.journal.last(1)
        (model,) = watcher.host.opened
        assert promotion.environment == model.built == REPORT
        assert {"fetch", "build", "load", "gates"} <= set(promotion.durations_s)
        assert promotion.verdicts[0].gate == "environment"
        assert promotion.verdicts[0].reason == (
            "its own environment, with Python 3.12.1 and 3 packages, as requirements.txt says; "
            "built in 2.0 s: 4.0 MB downloaded in 1.0 s, 9 MB installed in 0.5 s"
        )
        assert len(environments.marks) == 1
    states = [told[2] for told in observer.told("state_entered")]
    assert states[:3] == [State.FETCHING, State.BUILDING, State.LOADING]
    assert ("step_ended", "1", "build") in observer.story()
    (ended,) = observer.told("environment_ended")
    assert ended[1:4] == (a_version(1), BuildOutcome.BUILT, REPORT)


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [
        (BuildFate(is_shared=True), BuildOutcome.SHARED),
        (BuildFate(was_there=True), BuildOutcome.FOUND),
    ],
)
async def test_what_needs_no_build_is_never_in_that_state(
    fate: BuildFate, outcome: BuildOutcome
) -> None:
    """A version that shares the service's environment, and one whose environment is there."""
    observer = Recording()
    async with building(AUTO, observer=observer, v1=fate) as (watcher, _):
        await watcher.rollout.run(a_version(1), Trigger.POLL)
        is_shared = watcher.host.environments == [SHARED]
        assert is_shared == (outcome is BuildOutcome.SHARED)
    assert State.BUILDING not in [told[2] for told in observer.told("state_entered")]
    assert [told[2] for told in observer.told("environment_ended")] == [outcome]


async def test_environments_are_pruned_once_one_was_built() -> None:
    """A promotion that builds none has nothing looked through."""
    wanted = EnvironmentSettings(mode="auto", cache_bytes=7)
    found, shared = BuildFate(was_there=True), BuildFate(is_shared=True)
    async with building(wanted, v2=found, v3=shared) as (watcher, environments):
        for number in (1, 2, 3):
            await watcher.rollout.run(a_version(number), Trigger.POLL)
            await watcher.pause()
            assert environments.pruned == [7]


async def test_an_environment_is_released_with_its_version() -> None:
    """Once the version is gone, and not before."""
    async with building() as (watcher, environments):
        await promote(watcher, 1)
        await watcher.until(lambda: watcher.serving == "1")
        await promote(watcher, 2)
        await watcher.until(lambda: watcher.serving == "2")
        await watcher.until(lambda: len(environments.marks) == 1)
        assert [held.environment.key for held in environments.marks] == ["key-2"]
    assert not environments.marks


@pytest.mark.parametrize(
    "fate",
    [Fate(load_error=EnvironmentRefusedError("msgspec is too old")), Fate(smoke_refusal="NaN")],
)
async def test_a_candidate_that_fails_later_lets_go_of_its_environment(fate: Fate) -> None:
    """Whether it was loaded or not."""
    async with building() as (watcher, environments):
        watcher.fates.by_number["1"] = fate
        with pytest.raises(Exception, match=r"msgspec is too old|NaN"):
            await watcher.rollout.run(a_version(1), Trigger.POLL)
        assert environments.asked == ["1"]
        assert not environments.marks


async def test_files_are_proved_before_anything_is_built_from_them() -> None:
    """An unsigned version has nothing installed."""
    async with building(gates=GateChain((RefusesFiles(),), ())) as (watcher, environments):
        with pytest.raises(RefusedError, match="it is not signed"):
            await watcher.rollout.run(a_version(1), Trigger.POLL)
        assert environments.asked == []


async def test_an_environment_that_cant_be_had_is_a_refusal() -> None:
    """Final, with the builder's lines; what serves goes on."""
    refused = BuildFate(errors=[EnvironmentRefusedError("no solution: numpy 1 | numpy 2")])
    observer = Recording()
    async with building(observer=observer, v2=refused) as (watcher, environments):
        await promote(watcher, 1)
        await watcher.until(lambda: watcher.serving == "1")
        await promote(watcher, 2)
        await watcher.until(lambda: watcher.outcomes[-1] == ("2", PromotionOutcome.REFUSED))
        await watcher.pause(600)
        await watcher.reconciler.run_once()
        assert environments.asked == ["1", "2"]
        assert watcher.serving == "1"
        told = (
            "version 2 was refused: refused by the environment gate: no solution: numpy 1 | numpy 2"
        )
        assert watcher.status.why_not("models:/m@champion") == told
        assert watcher.status.waiting is None
    assert observer.told("environment_ended")[-1][2] is BuildOutcome.REFUSED


async def test_a_build_that_fails_for_now_is_tried_for_ever() -> None:
    """And says since when the promotion waits, and why; what serves goes on meanwhile."""
    errors: list[Exception] = [EnvironmentNotBuiltError(UNREACHABLE) for _ in range(12)]
    async with building(v2=BuildFate(errors=errors)) as (watcher, environments):
        await promote(watcher, 1)
        await watcher.until(lambda: watcher.serving == "1")
        await promote(watcher, 2)
        await watcher.until(lambda: environments.building == ["2"])
        assert watcher.status.versions[0].reason == "resolve"
        waiting = watcher.status.waiting
        assert waiting is not None
        since = waiting.since
        assert watcher.status.why_not("") == (
            f"version 2 waits for its environment since {since:%Y-%m-%d %H:%M:%SZ} (resolve)"
        )
        while errors:
            await watcher.reconciler.run_once()
            await watcher.pause(61)
            waiting = watcher.status.waiting
            assert watcher.serving == "1"
            assert waiting is not None
            assert waiting.since == since
        assert f"since {since:%Y-%m-%d %H:%M:%SZ}, of which 12 builds failed: {UNREACHABLE}" in (
            watcher.status.why_not("")
        )
        await watcher.pause(61)
        await watcher.reconciler.run_once()
        await watcher.until(lambda: watcher.serving == "2")
        assert watcher.status.waiting is None


async def test_a_newer_promotion_ends_a_build_that_is_under_way() -> None:
    """Nothing of it stays, and nobody waits for it."""
    observer = Recording()
    async with building(observer=observer, v1=BuildFate(build_s=1_000)) as (watcher, environments):
        await promote(watcher, 1)
        await watcher.until(lambda: environments.building == ["1"])
        await promote(watcher, 2)
        await watcher.until(lambda: environments.building == [])
        await watcher.reconciler.run_once()
        with anyio.fail_after(60):
            await watcher.until(lambda: watcher.serving == "2")
        assert watcher.status.waiting is None
        assert [held.environment.key for held in environments.marks] == ["key-2"]
    assert [told[2] for told in observer.told("environment_ended")] == [
        BuildOutcome.CANCELLED,
        BuildOutcome.BUILT,
    ]
