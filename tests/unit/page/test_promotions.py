"""Promotions as people see them."""

from datetime import timedelta

import msgspec
import pytest

from service.control.environment_wait import EnvironmentWait
from service.control.lifecycle import VersionStatus
from service.control.status import Status
from service.core.environments import BuildProgress
from service.core.events import PromotionOutcome
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.page.promotions import story_of
from tests.support.looked_at import UNKNOWN
from tests.support.promotions import NOON, a_promotion

SHOWN: list[State] = [
    state for state in State if state not in {State.DRAINING, State.UNLOADED, State.FAILED}
]


def having(version: VersionStatus, waiting: EnvironmentWait | None = None) -> Status:
    """Return the status of a deployment that has this version."""
    return msgspec.structs.replace(UNKNOWN, versions=(version,), waiting=waiting)


def test_a_build_of_an_environment_shows_how_far_it_is() -> None:
    """In words, and by its packages; that of another version does not."""
    promotion = a_promotion(3)
    version = VersionStatus(promotion.version, State.BUILDING, NOON, "")
    progress = BuildProgress("download", "scipy 1.16", 38, 14)
    wait = EnvironmentWait(promotion.version, NOON, 0.0, progress)
    (view,) = story_of([promotion], having(version, wait))
    assert view.build == (14, 38)
    assert "scipy 1.16" in view.told
    assert [step.state for step in view.steps if step.mark == "now"] == [State.BUILDING]
    other = msgspec.structs.replace(wait, version=a_promotion(4).version)
    (view,) = story_of([promotion], having(version, other))
    assert (view.build, view.told) == ((0, 0), "")


@pytest.mark.parametrize("state", SHOWN)
def test_the_step_that_a_version_is_in_is_marked(state: State) -> None:
    """Those before are done, those after are to come, whatever states there are."""
    promotion = a_promotion(3)
    status = VersionStatus(promotion.version, state, NOON, "so far")
    (view,) = story_of([promotion], having(status))
    assert view.steps[0].state == State.NEW
    marks = {step.state: step.mark for step in view.steps}
    before = [marks[one] for one in marks if SHOWN.index(State(one)) < SHOWN.index(state)]
    after = [marks[one] for one in marks if SHOWN.index(State(one)) > SHOWN.index(state)]
    assert set(before) <= {"done"}
    assert set(after) <= {"todo"}
    assert marks[state] == ("done" if state is State.READY else "now")
    assert view.told == "so far"
    running = [step.state for step in view.steps if step.since is not None]
    assert running == ([] if state is State.READY else [state])


@pytest.mark.parametrize("state", sorted(set(State) - set(SHOWN)))
def test_one_that_is_over_has_no_steps(state: State) -> None:
    """Though its outcome is yet to be written."""
    promotion = a_promotion(3)
    (view,) = story_of([promotion], having(VersionStatus(promotion.version, state, NOON, "")))
    assert view.steps == ()


def test_a_promotion_of_another_service_has_no_steps() -> None:
    """It is under way as far as the journal knows, and its version is not known here."""
    (view,) = story_of([a_promotion(3)], UNKNOWN)
    assert (view.steps, view.outcome) == ((), "under way")


def test_gates_have_their_reasons_and_no_credentials() -> None:
    """Cut, printable, each with its mark."""
    promotion = msgspec.structs.replace(
        a_promotion(3),
        outcome=PromotionOutcome.REFUSED,
        reason="from https://me:secret@host/\x1b[1m",
        ended_at=NOON + timedelta(seconds=3),
        verdicts=(
            Verdict("smoke", Outcome.PASS, "well", 0.5),
            Verdict("speed", Outcome.REFUSE, "x" * 10_000, 0.1),
        ),
        durations_s={"fetch": 1.5},
    )
    (view,) = story_of([promotion], UNKNOWN)
    assert (view.mark, view.took_s, view.durations_s) == ("bad", 3, (("fetch", 1.5),))
    assert "secret" not in view.reason
    assert view.reason.isprintable()
    smoke, speed = view.gates
    assert (smoke.mark, speed.mark) == ("good", "bad")
    assert len(speed.reason) <= 500
