"""How surely a version fails more often than the one before: a test that may be looked at any time.

The evidence is a mixture e-process for Bernoulli data: the mean, over some higher rates of failure,
of how many times more likely what was seen is at that rate than at the rate that is tolerated. For
a version that fails no more often than tolerated it exceeds 1/alpha with probability alpha at most,
however often one looks (Ville's inequality; see arXiv 2205.14762, and docs/decisions, 32).
"""

import math

import msgspec

from service.serving.record import Known

_MARGIN = 1.5
"""A version may fail this many times as often as the one before may do."""
_SMALLEST_STEP = 0.002
"""A version may always fail by this share of its requests more often than the one before."""
_MOST_PRESUMED = 0.1
"""A higher one tolerates more failures after a version of which few requests are known."""
_ALTERNATIVES = 7
"""More of them find a version sooner if its rate is near one of them, and others later."""
_FIRST_ODDS = 2.0
"""The lowest rate that is looked for has this many times the odds of the tolerated one."""
_HIGHEST_RATE = 0.6
_SAME_BODY_APART_S = 10.0
"""Failures of one body that come sooner after one another count once: one caller may repeat it."""
_NOTHING_ELSE = 6
"""After so many failures in a row it is no longer one caller's body that fails, but all that is
asked. The higher, the more often a caller may repeat it while nobody else asks anything.
"""
_REMEMBERED_BODIES = 256
_BISECTIONS = 50
_NEGLIGIBLE = 1e-12


class Finding(msgspec.Struct, frozen=True):
    """How things stand: requests and failures that counted, and the evidence against its bound."""

    evidence: float
    threshold: float
    requests: int
    failures: int
    tolerated_rate: float


class Evidence:
    """The evidence against one version, in logarithms, so that it can neither overflow nor vanish.

    `note` may be called as often as anything is known, one request or thousands at a time.
    """

    def __init__(self, tolerated_rate: float, alpha: float) -> None:
        self.answered = 0
        self.failed = 0
        self._tolerated_rate = tolerated_rate
        self._threshold = math.inf if alpha <= 0 else -math.log(alpha)
        rates = _alternatives(tolerated_rate)
        self._failure_weights = [math.log(rate / tolerated_rate) for rate in rates]
        self._answer_weights = [math.log1p(-rate) - math.log1p(-tolerated_rate) for rate in rates]

    def note(self, answered: int, failed: int) -> None:
        """Count so many more requests that were answered, and so many that failed."""
        self.answered += answered
        self.failed += failed

    @property
    def log_value(self) -> float:
        """The logarithm of the evidence; 0 where nothing speaks for or against the version."""
        if not self._failure_weights:
            return 0.0
        logs = [
            self.failed * failure + self.answered * answer
            for failure, answer in zip(self._failure_weights, self._answer_weights, strict=True)
        ]
        highest = max(logs)
        return highest + math.log(math.fsum(math.exp(x - highest) for x in logs) / len(logs))

    @property
    def is_enough(self) -> bool:
        """Whether a version that is no worse would hardly ever have come this far."""
        return self.log_value >= self._threshold

    @property
    def rate(self) -> float:
        """The share of failures among what counted."""
        return self.failed / (self.answered + self.failed) if self.failed else 0.0

    def finding(self) -> Finding:
        """Return how things stand."""
        return Finding(
            evidence=_plain(self.log_value),
            threshold=_plain(self._threshold),
            requests=self.answered + self.failed,
            failures=self.failed,
            tolerated_rate=self._tolerated_rate,
        )


class Counting:
    """Which requests count: all until one fails, and none while that failure is weighed.

    So one burst is not many witnesses, and the requests that count are chosen before anyone knows
    how they end, which keeps the test valid at any rate of requests. Nor is a body a new witness
    soon after it was weighed, unless nothing was answered before, or of the last few requests.
    `answered` is always how many requests the version has answered since it was loaded.
    """

    def __init__(self, evidence: Evidence, answered: int) -> None:
        self.evidence = evidence
        self._from = answered
        self.is_looking = True
        """Whether the next failure is to be weighed."""
        self._weighed_s: dict[bytes, float] = {}
        """When each body was weighed last."""
        self._answered = answered
        """How much was answered when the last request failed."""
        self._in_row = 0
        """How many have failed since one was answered."""

    def takes(self, body: bytes, answered: int, now_s: float) -> bool:
        """Tell whether a failure is to be weighed; from then on nothing counts.

        `body` is the body that failed, or what tells it from others.
        """
        self._in_row = self._in_row + 1 if answered == self._answered else 1
        self._answered = answered
        if not self.is_looking:
            return False
        self.look(answered)
        again = now_s < self._weighed_s.get(body, -math.inf) + _SAME_BODY_APART_S
        if again and self.evidence.answered and self._in_row < _NOTHING_ELSE:
            return False
        self._weighed_s.pop(body, None)
        self._weighed_s[body] = now_s
        if len(self._weighed_s) > _REMEMBERED_BODIES:
            del self._weighed_s[next(iter(self._weighed_s))]
        self.is_looking = False
        return True

    def weighed(self, *, is_own: bool) -> None:
        """Count the failure that was taken, if it is the version's own."""
        self.evidence.note(0, int(is_own))

    def look_again(self, answered: int) -> None:
        """Let requests count again."""
        self._from = answered
        self.is_looking = True

    def look(self, answered: int) -> None:
        """Count what was answered until now."""
        if self.is_looking:
            self.evidence.note(answered - self._from, 0)
            self._from = answered


def tolerated_rate(known: Known, floor: float, alpha: float) -> float:
    """Return the rate of failures that is tolerated of a version, given the one before.

    Unless that one truly fails more often than `_MOST_PRESUMED`, this is less than its true rate
    with probability `alpha` at most. Where nothing is known of one it is the floor.
    """
    if not known.requests:
        return min(max(floor, _SMALLEST_STEP), 1.0)
    rate = known.failures / known.requests
    # The level is such that _MARGIN times the bound is a bound at `alpha`: the logarithm of a
    # binomial's distribution function is concave in its rate, so that a rate _MARGIN times as high
    # has the _MARGIN-th power of its probability, or less.
    presumed = _MARGIN * upper_bound(known, alpha ** (1 / _MARGIN))
    presumed = min(presumed, max(_MOST_PRESUMED, _MARGIN * rate))
    return min(max(presumed, rate + _SMALLEST_STEP), 1.0)


def upper_bound(known: Known, alpha: float) -> float:
    """Return the one-sided upper confidence bound of a rate (Clopper and Pearson)."""
    low, high = known.failures / known.requests, 1.0
    if low >= high:
        return 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _at_most(known.failures, known.requests, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, requests: int, rate: float) -> float:
    """Return the probability of so few failures, for a rate above their share."""
    log_term = (
        math.lgamma(requests + 1)
        - math.lgamma(failures + 1)
        - math.lgamma(requests - failures + 1)
        + failures * math.log(rate)
        + (requests - failures) * math.log1p(-rate)
    )
    # Downwards from the largest term, until the rest is negligible.
    odds = (1 - rate) / rate
    total, term, count = 0.0, 1.0, failures
    while term > _NEGLIGIBLE * total:
        total += term
        term *= count / (requests - count + 1) * odds
        count -= 1
    return math.exp(log_term) * total


def _alternatives(tolerated_rate: float) -> list[float]:
    """Return the rates that are looked for, evenly spread by the logarithm of their odds."""
    if tolerated_rate >= 1:
        return []
    first = _FIRST_ODDS * tolerated_rate / (1 - tolerated_rate)
    last = max(_HIGHEST_RATE / (1 - _HIGHEST_RATE), 2 * first)
    odds = [first * (last / first) ** (i / (_ALTERNATIVES - 1)) for i in range(_ALTERNATIVES)]
    return [each / (1 + each) for each in odds]


def _plain(log_value: float) -> float:
    """Return the number itself, as far as JSON and people can take it."""
    return float(f"{math.exp(max(-50.0, min(50.0, log_value))):.4g}")
