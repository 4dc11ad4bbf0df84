"""What every observer of ours keeps to, and what tells several of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.core.environments import BuildOutcome, BuildProgress, BuildReport
from service.core.errors import ModelFailedError
from service.core.events import PromotionOutcome, Trigger
from service.core.protocols import WireProtocol
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.core.versions import StoredVersion
from service.telemetry.fan_out import fan_out
from service.telemetry.log_observer import LogObserver
from service.telemetry.observer import EVENTS, NullObserver, Observer
from tests.support.fake_source import a_version
from tests.support.observers import Recording

NATIVE = WireProtocol.NATIVE
VERSION = a_version(2)
TOLD: dict[str, tuple[Any, ...]] = {
    "request_answered": (VERSION, NATIVE, 3, 0.1),
    "request_detailed": (VERSION, 0.1, 0.01, None, 2, 3),
    "request_failed": (None, NATIVE, ModelFailedError("it raised"), 0.1),
    "batch_ended": (VERSION, 2, 3, 0.01, 0.1),
    "worker_ready": (VERSION, 1.0),
    "worker_lost": (VERSION, "killed"),
    "worker_not_replaced": (VERSION, "no process to be had"),
    "worker_over_limit": (VERSION, "it held too much"),
    "engine_faults": (VERSION, {"trees": 1}),
    "engine_fallbacks": (VERSION, {"trees": 1}),
    "promotion_began": (VERSION, Trigger.POLL),
    "state_entered": (VERSION, State.UNLOADED, ""),
    "version_stored": (StoredVersion(VERSION, Path("nowhere"), "digest"), 0.5),
    "environment_progressed": (VERSION, BuildProgress("download", "numpy 2.3.1", 3, 1)),
    "environment_ended": (VERSION, BuildOutcome.BUILT, BuildReport(packages=3), 2.5),
    "step_ended": (VERSION, "fetch", 0.5),
    "gate_ended": (VERSION, Verdict("load", Outcome.PASS, "loaded", 0.5)),
    "serving_changed": (VERSION, a_version(1)),
    "promotion_ended": (VERSION, PromotionOutcome.SERVING, "it serves"),
}
"""Something to tell for each event."""


class Raising(NullObserver):
    """Raises whatever it is told of batches and promotions."""

    def batch_ended(self, *_: object) -> None:
        """Raise."""
        raise RuntimeError("no disk")

    def promotion_ended(self, *_: object) -> None:
        """Raise."""
        raise RuntimeError("no network")


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """Keep what is logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    "make",
    [
        NullObserver,
        lambda: LogObserver("m"),
        lambda: fan_out([]),
        lambda: fan_out([LogObserver("m"), Raising(), Recording()]),
    ],
    ids=["null", "log", "fan-out to none", "fan-out"],
)
def test_an_observer_takes_each_event_and_raises_nothing(make: Callable[[], Observer]) -> None:
    """In any order, any number of times, also without what comes before it in a promotion."""
    observer = make()
    assert isinstance(observer, Observer)
    assert set(TOLD) == set(EVENTS)
    for event in (*EVENTS, *reversed(EVENTS)):
        assert getattr(observer, event)(*TOLD[event]) is None


def test_each_observer_is_told_each_event_once_whichever_raises(logs: list[Any]) -> None:
    """One that raises is logged once, with a traceback, and keeps nothing from the others."""
    first, last = Recording(), Recording()
    all_of_them = fan_out([first, Raising(), last])
    everything = [(event, *TOLD[event]) for event in EVENTS]
    for _ in range(2):
        for event, *told in everything:
            getattr(all_of_them, event)(*told)
    assert first.events == last.events == everything * 2
    (line,) = logs
    assert (line["event"], line["observer"], line["told"]) == (
        "observer raised",
        "Raising",
        "batch_ended",
    )
    assert line["exc_info"]


def test_an_event_that_no_observer_takes_calls_none(logs: list[Any]) -> None:
    """A request costs no more than a look for observers."""

    class Calm(NullObserver):
        """Takes promotions alone."""

        def promotion_began(self, *_: object) -> None:
            """Take it."""

    calm = Calm()
    calm.request_answered = None  # type: ignore[assignment, method-assign]
    fan_out([calm]).request_answered(VERSION, NATIVE, 1, 0.1)
    assert logs == []
