"""A line of the table: one load, and what came of it."""

import json

import msgspec

from tools.overload.plan import ANSWERED, REFUSED, Outcome, percentile


class Row(msgspec.Struct):
    """One load on one model."""

    tree: str
    case: str
    protocol: str
    factor: float
    rate: float
    capacity: float
    duration_s: float
    outcome: Outcome
    workers_lost: int
    looks: int
    red_looks: int
    before_bytes: int
    after_bytes: int

    @property
    def goodput(self) -> float:
        """Requests that were answered in time, as a share of the capacity."""
        return self.outcome.answered / self.duration_s / self.capacity

    @property
    def grown(self) -> float:
        """How much more memory is taken after the load than before, as a share."""
        return self.after_bytes / self.before_bytes - 1


HEAD = (
    *(
        "tree",
        "case",
        "protocol",
        "load",
        "capacity / s",
        "asked / s",
        "goodput",
        "late or no answer",
        "refused",
    ),
    *("refusals p50 / p99 / max, ms", "answers p50 / p99, ms", "workers lost", "health red"),
    *("memory, MB", "accepts / usual again, s"),
)


def cells(row: Row) -> list[str]:
    """Return a line for readers."""
    outcome = row.outcome
    refused, answered = outcome.refused_ms, outcome.answered_ms
    others = {k: v for k, v in outcome.statuses.items() if k not in ANSWERED | REFUSED}
    told = ", ".join(f"{count} x {status}" for status, count in sorted(others.items()))
    late = f"{outcome.late + outcome.unsent} + {told or 0} + {outcome.broken} broken"
    return [
        row.tree,
        row.case,
        row.protocol,
        f"{row.factor:g} x, {row.duration_s:g} s",
        f"{row.capacity:.4g}",
        f"{(outcome.sent + outcome.unsent) / row.duration_s:.1f}",
        f"{row.goodput:.0%}",
        late,
        str(len(refused)),
        " / ".join(f"{percentile(refused, p):.1f}" for p in (0.5, 0.99, 1.0)) if refused else "",
        " / ".join(f"{percentile(answered, p):.0f}" for p in (0.5, 0.99)) if answered else "",
        str(row.workers_lost),
        f"{row.red_looks / max(1, row.looks):.0%} of {row.looks}",
        f"{row.before_bytes / 1e6:.0f} to {row.after_bytes / 1e6:.0f} ({row.grown:+.0%})",
        " / ".join(_seconds(at) for at in (outcome.accepted_after_s, outcome.usual_after_s)),
    ]


def _seconds(at_s: float | None) -> str:
    return "never" if at_s is None else f"{at_s:.1f}"


def as_json(row: Row) -> str:
    """Return a line to keep, without the single latencies."""
    kept = msgspec.to_builtins(row)
    for name in ("refused_ms", "answered_ms", "lag_ms"):
        values = kept["outcome"].pop(name)
        kept["outcome"][name] = {str(p): percentile(values, p) for p in (0.5, 0.99, 1.0)}
    return json.dumps(kept)
