"""The control state: what is wanted, what became of it, and what of that is written down."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service.control.journal import MemoryJournal
from service.control.needs import PointerNeeds
from service.control.state import ControlState
from service.control.status import Status
from service.core.errors import FetchFailedError, RefusedError, StateUnreadableError
from service.core.events import Trigger
from service.core.states import State
from service.core.versions import StoredVersion
from tests.support.fake_models import FakeRemembered, FakeStore, Fates
from tests.support.fake_source import a_version

pytestmark = pytest.mark.loops("virtual")

NOWHERE = Path("nowhere")
POINTER = "models:/m@champion"
REFUSED = RefusedError("refused by the smoke gate: it answers nonsense")


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """Keep what is logged to ourselves."""
    with structlog.testing.capture_logs():
        yield


class Deployed:
    """A control state over a memory and a store that outlast it."""

    def __init__(self, earlier: "Deployed | None" = None) -> None:
        self.memory: FakeRemembered = earlier.memory if earlier else FakeRemembered()
        self.store: FakeStore = earlier.store if earlier else FakeStore(Fates())
        needs = PointerNeeds(self.store, POINTER)
        self.state = ControlState(self.memory, needs, MemoryJournal())


async def test_a_status_is_a_snapshot_by_which_nothing_can_be_changed() -> None:
    """It stays what it was, while the state goes on."""
    state = Deployed().state
    await state.looked(a_version(1))
    status = state.status()
    state.refuse(a_version(1), REFUSED)
    await state.looked(a_version(2))
    state.begin(a_version(2)).transition(State.FETCHING)
    assert (status.registry.promoted, status.refused, status.versions) == (a_version(1), {}, ())
    for name in Status.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(status, name, None)
    with pytest.raises(AttributeError):
        state.pin = a_version(3)  # type: ignore[misc]


async def test_the_pin_is_wanted_before_what_is_promoted() -> None:
    """And so for the decision as for those that ask."""
    state = Deployed().state
    assert (state.snapshot(None, "keep").known, state.status().wanted) == (False, None)
    await state.set_pin(a_version(1), POINTER)
    assert state.snapshot(None, "keep").known
    await state.looked(a_version(2))
    assert state.snapshot(None, "keep").wanted == state.status().wanted == a_version(1)
    await state.set_pin(None, POINTER)
    assert state.snapshot(None, "keep").wanted == state.status().wanted == a_version(2)


async def test_a_refusal_and_a_failure_last_until_the_pointer_moves() -> None:
    """A look that finds the same changes nothing, whether or not one failed in between."""
    state = Deployed().state
    assert await state.looked(a_version(2))
    state.refuse(a_version(2), REFUSED)
    state.failed(a_version(3), FetchFailedError("disk full"))
    state.look_failed("registry down")
    assert not await state.looked(a_version(2))
    now = state.snapshot(None, "keep")
    assert now.refused == {a_version(2)}
    assert now.backing_off == {a_version(3)}
    assert state.why_not(a_version(2)) is REFUSED
    assert str(state.why_not(a_version(3))) == "disk full"
    assert await state.looked(a_version(1))
    now = state.snapshot(None, "keep")
    assert (now.refused, now.backing_off) == (frozenset(), frozenset())


async def test_the_age_of_the_last_good_look_is_known() -> None:
    """A failed look does not make it younger, and a good one clears the error."""
    state = Deployed().state
    state.look_failed("down")
    known = state.status().registry
    assert (known.is_known, known.age_s, known.seen_at, known.error) == (False, None, None, "down")
    await state.looked(a_version(1))
    seen = state.status().registry
    assert (seen.error, seen.promoted) == ("", a_version(1))
    assert seen.age_s is not None
    assert seen.age_s >= 0
    state.look_failed("down again")
    later = state.status().registry
    assert (later.seen_at, later.seen_s, later.promoted) == (
        seen.seen_at,
        seen.seen_s,
        a_version(1),
    )
    assert later.error == "down again"


async def test_pin_refusals_and_the_last_good_version_outlast_the_process() -> None:
    """What was lifted by somebody who asked does not come back."""
    deployed = Deployed()
    state = deployed.state
    await state.recall()
    await state.looked(a_version(2))
    await state.set_pin(a_version(1), POINTER)
    state.refuse(a_version(2), REFUSED)
    state.refuse(a_version(3), REFUSED)
    state.allow(a_version(3))
    await state.save()
    await state.needs.note_good(StoredVersion(a_version(1), NOWHERE, "digest"))
    again = Deployed(deployed).state
    await again.recall()
    now = again.snapshot(None, "keep")
    assert now.wanted == now.fallback == a_version(1)
    assert now.refused == {a_version(2)}
    assert again.status().refused == {a_version(2): str(REFUSED)}


async def test_a_store_that_does_not_say_what_was_good_is_a_trouble_until_a_version_is() -> None:
    """It is asked again with each pass, and nothing is written over what it may say."""
    deployed = Deployed()
    deployed.store.last_good_error = StateUnreadableError("damaged")
    state = deployed.state
    await state.recall()
    assert "damaged" in state.status().troubles[0]
    stored = StoredVersion(a_version(1), NOWHERE, "digest")
    await state.needs.note_first_good(stored)
    assert deployed.store.good == []
    deployed.store.last_good_error = None
    await state.recall()
    assert state.status().troubles == ()
    await state.needs.note_first_good(stored)
    assert deployed.store.good == [a_version(1)]
    assert state.snapshot(None, "keep").fallback == a_version(1)


async def test_the_first_candidate_is_told_as_found_at_start() -> None:
    """Later ones by what woke the watcher; one that is not wanted is the last known good one."""
    state = Deployed().state
    await state.looked(a_version(1))
    assert state.begin_loading(a_version(1), Trigger.WEBHOOK) is Trigger.START
    assert state.snapshot(None, "keep").loading == a_version(1)
    state.end_loading()
    assert state.snapshot(None, "keep").loading is None
    assert state.begin_loading(a_version(1), Trigger.WEBHOOK) is Trigger.WEBHOOK
    assert state.begin_loading(a_version(2), Trigger.POLL) is Trigger.FALLBACK


async def test_why_what_is_wanted_does_not_serve_is_said_in_words() -> None:
    """From a registry that was never seen to a version that was refused."""
    state = Deployed().state

    def why() -> str:
        return state.status().why_not(POINTER)

    assert why() == "the registry was not seen yet"
    state.look_failed("registry down")
    assert why() == "registry down"
    await state.looked(None)
    assert why() == f"nothing is promoted at {POINTER}"
    await state.looked(a_version(2))
    assert why() == "version 2 is to be loaded"
    state.begin(a_version(2)).transition(State.FAILED, "disk full")
    assert why() == "version 2 is failed: disk full"
    state.refuse(a_version(2), REFUSED)
    assert why() == f"version 2 was refused: {REFUSED}"
