"""What the load generator is told, and what it tells: both go over a pipe as JSON."""

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """Requests to send: at `rate` a second whatever is answered, or one after another.

    With a rate of 0 each of `connections` sends its next request when the last one is answered.
    After `limit_s` a request is given up.
    """

    host: str
    port: int
    path: str
    """'' for calls over gRPC."""
    body: bytes
    probe: bytes
    """The small request that finds out when the server has recovered."""
    content_type: str
    rate: float
    duration_s: float
    limit_s: float
    connections: int
    """The most requests under way: over HTTP each has a connection of its own."""
    seed: int = 0
    usual_s: float = 0.0
    """What the probe takes while nothing else is asked; 0 for no probes."""


class Outcome(msgspec.Struct):
    """What became of the requests of a plan. Latencies count from when a request was due."""

    sent: int = 0
    unsent: int = 0
    """Requests that were due while as many were under way as may be."""
    answered: int = 0
    """Requests that were answered with success within the limit."""
    late: int = 0
    """Requests without any answer within the limit, or with a later one."""
    broken: int = 0
    """Requests whose connection failed."""
    statuses: dict[str, int] = {}
    """How many answers had each status: HTTP's number, or gRPC's name."""
    refused_ms: list[float] = []
    """How long each refusal took, in order of time taken."""
    answered_ms: list[float] = []
    lag_ms: list[float] = []
    """How late the generator itself sent, in order of time taken."""
    accepted_after_s: float | None = None
    """Seconds from the end of the load until a probe was sent that was answered in time."""
    usual_after_s: float | None = None
    """Seconds until a probe was sent that took its usual time."""


ANSWERED = frozenset({"200", "OK"})
REFUSED = frozenset({"503", "UNAVAILABLE"})
"""The statuses of a request that is one too many."""


def percentile(ordered: list[float], share: float) -> float:
    """Return a percentile of numbers in order; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
