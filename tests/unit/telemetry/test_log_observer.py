"""The lines that a person reads of a promotion."""

from pathlib import Path

from structlog.testing import capture_logs

from service.core.events import PromotionOutcome, Trigger
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.telemetry.log_observer import LogObserver
from tests.support.fake_source import a_version


def test_a_promotion_is_told_from_being_noticed_to_the_end_of_the_version_before() -> None:
    """With the names that documents and tests know; states and steps have no line of their own."""
    version, before = a_version(2), a_version(1)
    with capture_logs() as lines:
        observer = LogObserver("m")
        observer.promotion_began(version, Trigger.POLL)
        observer.state_entered(version, State.FETCHING, "")
        observer.step_ended(version, "fetch", 0.25)
        observer.version_stored(StoredVersion(version, Path("nowhere"), "abc"), 0.25)
        observer.gate_ended(version, Verdict("load", Outcome.PASS, "loaded", 0.5))
        observer.serving_changed(version, before)
        observer.promotion_ended(version, PromotionOutcome.SERVING, "it serves")
        observer.state_entered(before, State.UNLOADED, "")
    info = {"log_level": "info", "model": "m", "version": "2"}
    assert lines == [
        {"event": "promotion noticed", **info, "trigger": "poll"},
        {"event": "version in the store", **info, "took_s": 0.25, "digest": "abc"},
        {"event": "gate", **info, "gate": "load", "outcome": "pass", "reason": "loaded"},
        {"event": "version serves", **info, "replaced": "1"},
        {"event": "version gone", **info, "version": "1"},
    ]


def test_what_does_not_serve_is_told_louder() -> None:
    """A refusal is a warning, a rollback an error that says what serves instead."""
    version, before = a_version(2), a_version(1)
    with capture_logs() as lines:
        observer = LogObserver("m")
        observer.promotion_ended(version, PromotionOutcome.REFUSED, "by the load gate")
        observer.serving_changed(before, version)
        observer.promotion_ended(version, PromotionOutcome.ROLLED_BACK, "it fails")
    same = {"model": "m", "version": "2"}
    assert lines == [
        {
            "event": "promotion ended",
            "log_level": "warning",
            **same,
            "ending": "refused",
            "reason": "by the load gate",
        },
        {
            "event": "version rolled back",
            "log_level": "error",
            **same,
            "serves": "1",
            "reason": "it fails",
        },
    ]
