import anyio
import pytest

from service.core.errors import ChildLostError, FetchFailedError, RefusedError, ServiceError
from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Outcome
from service.serving.model import LoadedModel
from service.watcher.gates.chain import GateChain
from service.watcher.gates.gate import Finding
from tests.support.fake_models import Fate
from tests.support.fake_source import a_version
from tests.support.fake_watcher import DRAIN_S, FakeWatcher, a_watcher


async def roll_out(watcher: FakeWatcher, number: int) -> LoadedModel:
    """Have a version serve and return its model."""
    await watcher.rollout.run(a_version(number), Trigger.POLL)
    assert watcher.routes.current is not None
    return watcher.routes.current


def state_of(watcher: FakeWatcher, number: int) -> State:
    """Return where a version stands."""
    return next(s.state for s in watcher.status.versions if s.version == a_version(number))


async def test_a_version_that_passes_every_gate_serves() -> None:
    """It is ready, in the journal with its verdicts, and marked good in the store."""
    async with a_watcher() as watcher:
        model = await roll_out(watcher, 1)
        assert model.serving_since is not None
        assert model.compiling.may_go_on.is_set()
        assert state_of(watcher, 1) is State.READY
        (promotion,) = watcher.journal.last(5)
        assert promotion.outcome is PromotionOutcome.SERVING
        assert promotion.ended_at is not None
        assert [(v.gate, v.outcome) for v in promotion.verdicts] == [
            ("load", Outcome.PASS),
            ("contract", Outcome.PASS),
            ("smoke", Outcome.PASS),
        ]
        assert {"fetch", "load", "gates"} <= set(promotion.durations_s)
        await watcher.until(lambda: watcher.store.good == [a_version(1)])


@pytest.mark.parametrize(
    ("fate", "raised", "told"),
    [
        (Fate(fetch_error=FetchFailedError("disk full")), FetchFailedError, "disk full"),
        (Fate(fetch_error=OSError(28, "disk full")), OSError, "disk full"),
        (Fate(load_error=ChildLostError("lost", ["bang"])), RefusedError, "load gate.*bang"),
        (Fate(load_error=ServiceError("no process")), ServiceError, "no process"),
        (Fate(load_error=ZeroDivisionError("why")), ZeroDivisionError, "why"),
        (Fate(smoke_refusal="row 3 is NaN"), RefusedError, "smoke gate: row 3 is NaN"),
        (Fate(smoke_error=ChildLostError("lost")), RefusedError, "smoke gate"),
        (Fate(smoke_error=ServiceError("for now")), ServiceError, "for now"),
        (Fate(smoke_s=1000), RefusedError, "too long"),
    ],
)
async def test_a_candidate_that_fails_changes_nothing_that_serves(
    fate: Fate, raised: type[Exception], told: str
) -> None:
    """It is closed, its files are free, and its state and the journal say why."""
    async with a_watcher() as watcher:
        incumbent = await roll_out(watcher, 1)
        watcher.fates.by_number["2"] = fate
        with pytest.raises(raised, match=told):
            await watcher.rollout.run(a_version(2), Trigger.POLL)
        assert watcher.routes.current is incumbent
        assert not incumbent.closed.is_set()
        assert watcher.host.opening == [a_version(1)]
        assert [mark.stored.version for mark in watcher.store.marks] == [a_version(1)]
        assert state_of(watcher, 2) is State.FAILED
        refused = raised is RefusedError
        assert watcher.outcomes[-1] == (
            "2",
            PromotionOutcome.REFUSED if refused else PromotionOutcome.FAILED,
        )


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5])
async def test_a_candidate_that_is_given_up_leaves_nothing(after_s: float) -> None:
    """While it is fetched, loaded, and gated."""
    async with a_watcher() as watcher:
        incumbent = await roll_out(watcher, 1)
        with anyio.move_on_after(after_s) as scope:
            await watcher.rollout.run(a_version(2), Trigger.POLL)
        assert scope.cancelled_caught
        assert watcher.routes.current is incumbent
        assert watcher.host.opening == [a_version(1)]
        assert [mark.stored.version for mark in watcher.store.marks] == [a_version(1)]
        assert watcher.outcomes[-1] == ("2", PromotionOutcome.SUPERSEDED)


async def test_a_candidate_that_is_given_up_while_the_last_gate_decides_is_not_swapped_in() -> None:
    """The gate passes it, but it is no longer wanted."""

    class GivingUp:
        name = "giving up"
        compares = False

        async def check(self, candidate: LoadedModel, incumbent: LoadedModel | None) -> Finding:
            """Pass the candidate, which somebody gives up meanwhile."""
            assert incumbent is None
            assert not candidate.closed.is_set()
            given_up.cancel()
            return Finding(Outcome.PASS, "fine")

    given_up = anyio.CancelScope()
    async with a_watcher(gates=GateChain((), (GivingUp(),))) as watcher:
        with given_up:
            await watcher.rollout.run(a_version(1), Trigger.POLL)
        assert given_up.cancelled_caught
        assert watcher.routes.current is None
        assert watcher.host.opening == []


async def test_the_version_before_ends_after_its_last_request() -> None:
    """A request that holds a lease at the swap is answered by the version that it was given."""
    async with a_watcher() as watcher:
        before = await roll_out(watcher, 1)
        with watcher.routes.lease() as leased:
            after = await roll_out(watcher, 2)
            await anyio.sleep(DRAIN_S / 2)
            assert leased is before
            assert not before.closed.is_set()
            assert state_of(watcher, 1) is State.DRAINING
        await watcher.until(lambda: state_of(watcher, 1) is State.UNLOADED)
        assert before.closed.is_set()
        assert not after.closed.is_set()
        assert watcher.host.opening == [a_version(2)]


async def test_a_request_that_never_ends_holds_the_version_for_the_drain_timeout_alone() -> None:
    """Its memory is wanted back."""
    async with a_watcher() as watcher:
        before = await roll_out(watcher, 1)
        with watcher.routes.lease():
            began = anyio.current_time()
            await roll_out(watcher, 2)
            await before.closed.wait()
            assert anyio.current_time() - began == pytest.approx(DRAIN_S + 3, abs=0.1)


async def test_a_version_whose_host_collapsed_is_replaced_like_any_other() -> None:
    """It is closed already, and its requests are gone."""
    async with a_watcher() as watcher:
        collapsed = await roll_out(watcher, 1)
        collapsed.close()
        await collapsed.closed.wait()
        assert await roll_out(watcher, 1) is not collapsed
        await watcher.until(lambda: len(watcher.host.opening) == 1)


async def test_what_fails_after_a_swap_ends_nothing_that_serves() -> None:
    """A store that can't be tidied, by whatever it raises."""
    async with a_watcher() as watcher:
        await roll_out(watcher, 1)
        for number, error in enumerate((OSError("disk"), ServiceError("x"), KeyError("y")), 2):
            watcher.store.tidying_error = error
            model = await roll_out(watcher, number)
            await watcher.until(lambda: len(watcher.host.opening) == 1)
            assert watcher.host.opening == [model.version]
            assert not model.closed.is_set()


async def test_files_that_cannot_be_released_end_nothing_that_serves() -> None:
    """The mark of the version before stays until the service ends."""
    async with a_watcher() as watcher:
        watcher.store.release_error = FetchFailedError("disk")
        await roll_out(watcher, 1)
        after = await roll_out(watcher, 2)
        await watcher.until(lambda: watcher.host.opening == [a_version(2)])
        assert watcher.routes.current is after
        watcher.fates.by_number["3"] = Fate(load_error=ChildLostError("lost"))
        with pytest.raises(RefusedError):
            await watcher.rollout.run(a_version(3), Trigger.POLL)


async def test_unloading_drains_and_ends_what_served() -> None:
    """Nothing serves then, and unloading nothing does nothing."""
    async with a_watcher() as watcher:
        model = await roll_out(watcher, 1)
        watcher.rollout.unload()
        watcher.rollout.unload()
        assert watcher.routes.current is None
        await model.closed.wait()
        assert watcher.host.opening == []
