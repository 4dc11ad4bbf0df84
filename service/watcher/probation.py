"""The first minutes of a version that serves, in which it may not fail more than the one before.

Only what a worker was asked and failed is weighed, and only if the version before, which is still
warm, answers the same body. Each such failure adds to the evidence, which decides (`evidence`).
"""

from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from service.serving.failed_request import FailedRequest
from service.serving.model import LoadedModel
from service.serving.record import Known
from service.watcher.evidence import Counting, Evidence, tolerated_rate
from service.watcher.replay import Outcome, replay, replay_apart, was_killed_from_outside

APART_S = 0.1
"""Failures that come sooner after one another are not weighed: a burst is one witness."""
_OVER_S = 0.001
"""A probation that has less time left is over."""
_LOOK_EVERY_S = 0.2
"""It is noticed after this time at most that another version serves."""
_TEST_SHARE = 0.5
"""The test may spend this share of PROBATION_ALPHA, and the bound of the rate before the rest. A
larger one finds a worse version sooner, and presumes that less is known of the one before."""


class ProbationSettings(msgspec.Struct, frozen=True):
    """How long a version is watched, and when it has failed too much.

    `max_error_rate` is the share of failures below which nothing is rolled back, `alpha` the
    probability of rolling back a version that is no worse than the one before.
    """

    duration_s: float
    max_error_rate: float
    keep_warm: bool
    alpha: float = 0.01


class Probation:
    """Watches one version, as long as it serves; goes on if it serves again.

    `before` is what is known of the version before it.
    """

    def __init__(
        self,
        model: LoadedModel,
        before: Known,
        settings: ProbationSettings,
    ) -> None:
        self.passed = False
        self.is_under_way = False
        self._model = model
        self._previous: LoadedModel | None = None
        self._before = before
        self._settings = settings
        self._left_s = settings.duration_s
        test_alpha = settings.alpha * _TEST_SHARE
        tolerated = tolerated_rate(before, settings.max_error_rate, settings.alpha - test_alpha)
        self._evidence = Evidence(tolerated, test_alpha)
        self._counting = Counting(self._evidence, model.answered)
        self._taken: tuple[FailedRequest, float] | None = None
        self._came = anyio.Event()
        self._excused = 0
        self._failure = ""

    def failed(self, failed: FailedRequest) -> None:
        """Take a failure of the version to be weighed, unless another one is being weighed."""
        if not (self.is_under_way and self._counting.is_looking):
            return
        now_s = anyio.current_time()
        if self._counting.takes(failed.fingerprint(), self._model.answered, now_s):
            self._taken = (failed, now_s)
            self._came.set()

    async def serve(self, is_current: Callable[[], bool], previous: LoadedModel | None) -> str:
        """Watch the version while it serves and its time lasts.

        `previous` is asked what this one fails, None where none is warm. Return '' where it passed
        or no longer serves, else why it must go.
        """
        self._previous = previous
        self._taken, self._came = None, anyio.Event()
        self._counting.look_again(self._model.answered)
        self._model.trial = self
        self.is_under_way = True
        began_s = anyio.current_time()
        try:
            while is_current() and not self._failure and self._left_s > _OVER_S:
                with anyio.move_on_after(min(_LOOK_EVERY_S, self._left_s)):
                    await self._came.wait()
                if self._taken is not None:
                    # To its end: a call that is cancelled costs the version before its worker.
                    await self._weigh(*self._taken)
                now_s = anyio.current_time()
                self._left_s -= now_s - began_s
                began_s = now_s
        finally:
            self._counting.look(self._model.answered)
            # Each version knows its trial: with this, one would keep all those before it.
            self._taken = self._previous = None
            self.is_under_way = False
        if not is_current():
            return ""
        self.passed = not self._failure
        return self._failure

    def told(self) -> dict[str, Any]:
        """Return how things stand, as JSON for people."""
        if self.is_under_way:
            self._counting.look(self._model.answered)
        state = "failed" if self._failure else "passed" if self.passed else "left"
        finding = self._evidence.finding()
        return {
            "state": "under way" if self.is_under_way else state,
            "reason": self._failure or None,
            "evidence": finding.evidence,
            "threshold": finding.threshold,
            "requests": finding.requests,
            "failures": finding.failures,
            "excused": self._excused,
            "tolerated_rate": finding.tolerated_rate,
            "max_error_rate": self._settings.max_error_rate,
            "before": {"requests": self._before.requests, "failures": self._before.failures},
            "failures_are_checked": self._is_checked,
        }

    @property
    def _is_checked(self) -> bool:
        return self._previous is not None and not self._previous.closed.is_set()

    async def _weigh(self, failed: FailedRequest, taken_at_s: float) -> None:
        """Find out whether a failure is the version's own, and what that makes of the evidence."""
        self._taken, self._came = None, anyio.Event()
        is_own = await self._is_own(failed)
        self._counting.weighed(is_own=is_own)
        self._excused += not is_own
        is_much = self._evidence.rate > self._settings.max_error_rate
        if is_own and is_much and self._evidence.is_enough:
            self._failure = self._reason()
            return
        await anyio.sleep_until(taken_at_s + APART_S)
        self._counting.look_again(self._model.answered)

    async def _is_own(self, failed: FailedRequest) -> bool:
        """Tell whether the version alone has failed a request, as far as that can be found out."""
        # A body that has its workers killed for want of memory is told from an operator's kill by
        # what comes of one more.
        if (
            await was_killed_from_outside(failed.error)
            and await replay_apart(self._model, failed) is not Outcome.KILLED
        ):
            return False
        if self._previous is None or not self._is_checked:
            return True
        return await replay(self._previous, failed) is Outcome.ANSWERED

    def _reason(self) -> str:
        found, before = self._evidence.finding(), self._before
        past = (
            f"{before.failures} of the last {before.requests} of the version before"
            if before.requests
            else "nothing is known of a version before"
        )
        return (
            f"{found.failures} of {found.requests} requests that count failed "
            f"({self._evidence.rate:.1%}; {past}; up to {found.tolerated_rate:.2%} is tolerated): "
            f"the evidence is {found.evidence:.3g}, and {found.threshold:.3g} is enough"
        )
