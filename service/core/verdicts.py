"""A gate's verdict on a candidate."""

import msgspec

from service.core.text_enum import TextEnum


class Outcome(TextEnum):
    """A gate's decision: `skip` means that there was nothing to check."""

    PASS = "pass"  # noqa: S105 - a decision, not a password
    REFUSE = "refuse"
    SKIP = "skip"


class Verdict(msgspec.Struct, frozen=True):
    """One gate's decision on one candidate, with a reason that a person can act on."""

    gate: str
    outcome: Outcome
    reason: str
    duration_s: float
