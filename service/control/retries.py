"""Versions that failed for a reason that passes, and when each is tried again."""

import math
import random

import anyio
import msgspec

from service.core.errors import ServiceError
from service.core.versions import ModelVersion

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0
MOST_FAILURES = 50
"""More versions than these fail only where one after the other is pinned."""


class Failure(msgspec.Struct, frozen=True):
    """Why a version could not be rolled out for now, how often so far, and the next try."""

    error: ServiceError
    attempts: int
    retry_in_s: float
    retry_at: float


class Retries:
    """The versions that failed for now. None is given up: each is tried less and less often."""

    def __init__(self) -> None:
        self._failures: dict[ModelVersion, Failure] = {}

    def note(self, version: ModelVersion, error: ServiceError) -> Failure:
        """Put off the next try, for twice as long as the last time."""
        known = self._failures.pop(version, None)
        attempts = known.attempts + 1 if known else 1
        backoff_s = min(_FIRST_BACKOFF_S * 2 ** (attempts - 1), _LONGEST_BACKOFF_S)
        backoff_s *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads a fleet's retries
        failure = Failure(error, attempts, backoff_s, anyio.current_time() + backoff_s)
        self._failures[version] = failure
        if len(self._failures) > MOST_FAILURES:
            del self._failures[next(iter(self._failures))]
        return failure

    def forget(self, version: ModelVersion) -> None:
        """Have a version tried immediately, where it is wanted."""
        self._failures.pop(version, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._failures.clear()

    def error(self, version: ModelVersion) -> ServiceError | None:
        """Return why a version failed last, None where it did not."""
        failure = self._failures.get(version)
        return failure.error if failure else None

    @property
    def backing_off(self) -> frozenset[ModelVersion]:
        """The versions whose next try is yet to come."""
        now = anyio.current_time()
        return frozenset(v for v, failure in self._failures.items() if failure.retry_at > now)

    @property
    def next_in_s(self) -> float:
        """Seconds until the next try; infinite where there is nothing to be tried again."""
        now = anyio.current_time()
        waits = (failure.retry_at - now for failure in self._failures.values())
        return min((wait for wait in waits if wait > 0), default=math.inf)
