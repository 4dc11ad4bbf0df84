"""Promotions as people see them: the one under way step by step, and the story of those before."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.control.environment_wait import EnvironmentWait
from service.control.lifecycle import VersionStatus
from service.control.status import Status
from service.core.events import Promotion, PromotionOutcome
from service.core.states import State
from service.core.verdicts import Outcome, Verdict
from service.core.versions import ModelVersion
from service.page.texts import name_of, reason_of

SHOWN_PROMOTIONS = 12
_OVER = frozenset({State.FAILED, State.UNLOADED, State.DRAINING})
_OPTIONAL = frozenset({"building"})
"""Steps that are shown where they happen."""
_SECONDS_OF = {"fetching": "fetch", "building": "build", "loading": "load", "proving": "gates"}
"""Under which name the journal has the seconds of a state."""
_WORDS = {
    "new": "Noticed",
    "fetching": "Fetch",
    "building": "Build environment",
    "loading": "Load",
    "proving": "Prove",
    "ready": "Serve",
}
_MARKS = {
    PromotionOutcome.SERVING: "good",
    PromotionOutcome.REFUSED: "bad",
    PromotionOutcome.FAILED: "bad",
    PromotionOutcome.ROLLED_BACK: "bad",
    PromotionOutcome.SUPERSEDED: "quiet",
    PromotionOutcome.UNDER_WAY: "busy",
}
"""How an outcome is coloured."""
_GATE_MARKS = {Outcome.PASS: "good", Outcome.REFUSE: "bad", Outcome.SKIP: "quiet"}


class Step(msgspec.Struct, frozen=True):
    """A step of a promotion: `mark` is `done`, `now`, `bad` or `todo`."""

    state: str
    word: str
    mark: str
    seconds: float | None
    since: datetime | None
    """Since when it is under way; None for one that is not."""


class Gate(msgspec.Struct, frozen=True):
    """What a gate found; `mark` is `good`, `bad` or `quiet`."""

    name: str
    outcome: str
    mark: str
    reason: str
    seconds: float


class PromotionView(msgspec.Struct, frozen=True):
    """A promotion; `steps` are those of one that is under way, empty for any other."""

    key: str
    version: str
    trigger: str
    noticed_at: datetime
    ended_at: datetime | None
    outcome: str
    mark: str
    reason: str
    took_s: float | None
    gates: tuple[Gate, ...]
    durations_s: tuple[tuple[str, float], ...]
    steps: tuple[Step, ...] = ()
    told: str = ""
    """How far the step is that it is in, in words."""
    build: tuple[int, int] = (0, 0)
    """How many packages of its environment are there, and of how many; (0, 0) where none is built.
    """


def story_of(promotions: Sequence[Promotion], status: Status) -> tuple[PromotionView, ...]:
    """Return promotions as they come, the newest first."""
    known = {one.version: one for one in status.versions}
    return tuple(_view(one, known.get(one.version), status.waiting) for one in promotions)


def short(version: ModelVersion | str) -> str:
    """Return a version as it is shown: a number is one already, a run's id is cut."""
    text = version if isinstance(version, str) else version.version
    return name_of(text)


def _view(
    promotion: Promotion, status: VersionStatus | None, wait: EnvironmentWait | None
) -> PromotionView:
    is_under_way = (
        promotion.outcome is PromotionOutcome.UNDER_WAY
        and status is not None
        and status.state not in _OVER
    )
    progress = None
    if is_under_way and wait is not None and wait.version == promotion.version:
        progress = wait.progress
    told = status.reason if is_under_way and status is not None else ""
    ended_at = promotion.ended_at
    took_s = (ended_at - promotion.noticed_at).total_seconds() if ended_at is not None else None
    return PromotionView(
        key=f"{promotion.version.key}-{promotion.noticed_at.timestamp():.3f}",
        version=short(promotion.version),
        trigger=str(promotion.trigger),
        noticed_at=promotion.noticed_at,
        ended_at=ended_at,
        outcome=str(promotion.outcome),
        mark=_MARKS[promotion.outcome],
        reason=reason_of(promotion.reason),
        took_s=took_s,
        gates=tuple(_gate(verdict) for verdict in promotion.verdicts),
        durations_s=tuple(promotion.durations_s.items()),
        steps=_steps(promotion, status) if is_under_way and status is not None else (),
        told=reason_of(told if progress is None else progress.told),
        build=(0, 0) if progress is None else (progress.packages_done, progress.packages),
    )


def _gate(verdict: Verdict) -> Gate:
    return Gate(
        name=verdict.gate,
        outcome=str(verdict.outcome),
        mark=_GATE_MARKS[verdict.outcome],
        reason=reason_of(verdict.reason),
        seconds=verdict.duration_s,
    )


def _steps(promotion: Promotion, status: VersionStatus) -> tuple[Step, ...]:
    """Return the steps up to serving, in the order of the lifecycle's states."""
    before_end = [state for state in State if state not in _OVER]
    now = before_end.index(status.state)
    steps = []
    for index, state in enumerate(before_end):
        seconds = promotion.durations_s.get(_SECONDS_OF.get(str(state), ""))
        if str(state) in _OPTIONAL and index != now and seconds is None:
            continue
        is_now = index == now and state is not State.READY
        mark = "now" if is_now else "done" if index <= now else "todo"
        word = _WORDS.get(str(state), str(state).capitalize())
        since = status.since if is_now else None
        steps.append(Step(str(state), word, mark, seconds, since))
    return tuple(steps)
