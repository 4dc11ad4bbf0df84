"""Promotions: by what they were noticed, how long their steps took, and their outcomes."""

from datetime import datetime

import msgspec

from service.core.environments import BuildReport
from service.core.text_enum import TextEnum
from service.core.verdicts import Verdict
from service.core.versions import ModelVersion


class Trigger(TextEnum):
    """By what a promotion was noticed."""

    START = "start"
    POLL = "poll"
    RELOAD = "reload"
    PIN = "pin"
    FALLBACK = "last known good"
    WEBHOOK = "webhook"


class PromotionOutcome(TextEnum):
    """The outcome of a promotion."""

    UNDER_WAY = "under way"
    SERVING = "serving"
    REFUSED = "refused"  # by a gate: final until the pointer moves or someone reloads
    FAILED = "failed"  # by something that passes: tried again
    SUPERSEDED = "superseded"  # by a newer promotion or change, before it could serve
    ROLLED_BACK = "rolled back"  # it failed too often on probation


class Promotion(msgspec.Struct, frozen=True):
    """One promotion that was noticed, and its outcome.

    `durations_s` has seconds by step: fetch, build, load, gates, swap, drain, as far as they
    happened. `environment` says how the one that was looked for came to be there; None where none
    was. The outcome is `ending` in the journal, as it always was.
    """

    version: ModelVersion
    trigger: Trigger
    noticed_at: datetime
    outcome: PromotionOutcome = msgspec.field(default=PromotionOutcome.UNDER_WAY, name="ending")
    reason: str = ""
    verdicts: tuple[Verdict, ...] = ()
    durations_s: dict[str, float] = {}
    ended_at: datetime | None = None
    environment: BuildReport | None = None
